"""A decoder of VGG19 in five stages, for features that are changed on their way."""
