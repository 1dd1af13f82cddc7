"""BH-11: three sums."""

from answers import Master

BH11 = Master("BH-11")
RIGHT = {"numbers": "dentro_bien, dentro_mal, entran = 6, 45.0, 8"}
WRONG = {
    "divided": ("30 * 0.2", "30 / 0.2", "dentro_bien vale 150"),
    "not hung": ("30 * 1.5", "30 * 0.2", "dentro_mal vale 6"),
    "with the limit": ("30 * 1.5", "12", "dentro_mal vale 12"),
    "multiplied": ("12 / 1.5", "12 * 1.5", "entran vale 18"),
    "all": ("12 / 1.5", "30", "pueden entrar entonces? ¿Qué dice"),
    "a text": ("12 / 1.5", "'8'", "entran es un texto"),
}
test_right, test_wrong = BH11.tests(RIGHT, WRONG)
