"""The exercises of 01_service_discovery, in the order in which a learner meets them."""

from labkit.course.lessons.service_discovery import sd2, sd3, sd4a, sd4b, sd4c, sd5, sd6, sd7

# Those that only a reader can judge.
QUESTIONS = ("SD-1",)

EXERCISES = (sd7.STILL, sd2.THIRD, sd3.NOTICES, sd4a.HEALTH_APP, sd4b.HEALTHY, sd4c.WATCH, sd5.LEASES, sd6.CLIENT)
