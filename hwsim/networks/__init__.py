"""What a user names as MODEL: zoo networks and images, opened and measured."""
