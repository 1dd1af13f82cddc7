"""The lessons' exercises: a package a lesson, a file an exercise; pyproject.toml tells the engine of them."""
