"""The cases of the exercises: one module a lesson, imported when an exercise of it is first checked."""

# The letters before the dash in an exercise's id, and the module that holds its cases, in the course's order.
LESSONS: dict[str, str] = {
    "IN": "labkit.course.cases.inicio",
    "SD": "labkit.course.cases.service_discovery",
    "CB": "labkit.course.cases.circuit_breaker",
    "BH": "labkit.course.cases.bulkhead",
}
