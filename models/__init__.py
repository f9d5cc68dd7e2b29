"""Networks: hashed layers, architectures, data sets, training, and the zoo of trained ones."""

if __name__ == "models":
    from hwsim.files.step_aside import step_aside

    step_aside(__name__, __file__)
