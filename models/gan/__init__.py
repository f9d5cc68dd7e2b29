"""Images that a generative adversarial network makes: its networks, training, file, quality."""
