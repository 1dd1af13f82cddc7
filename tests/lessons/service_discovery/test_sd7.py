"""SD-7: who is still there."""

from answers import Master

SD7 = Master("SD-7")
RIGHT = {"sets": SD7.source.replace('["a", "b", "c"]', '{"c", "b", "a"}')}
WRONG = {
    "c too long": ('40: ["a", "b"]', '40: ["a", "b", "c"]', "sobra c: no late desde que se registró"),
    "b too long": ('56: ["a"]', '56: ["a", "b"]', "sobra b: latió por última vez en el 25"),
    "a gone": ('56: ["a"]', "56: []", "falta a: latió por última vez en el 35"),
    "those who go": ('29: ["a", "b", "c"]', "29: []", "anotaste justo lo contrario"),
    "text keys": ("29:", "'29':", "Las claves son los segundos"),
    "too early": ('29: ["a", "b", "c"]', '29: ["a", "b"]', "falta c"),
    "a text": ('56: ["a"]', '56: "a"', "usa una lista de nombres"),
    "one missing": (', 56: ["a"]', "", "falta: 56"),
    "a list": ("siguen = {", "siguen = [1] or {", "siguen es una lista"),
}
test_right, test_wrong = SD7.tests(RIGHT, WRONG)
