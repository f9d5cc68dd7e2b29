"""The design space: networks on engines, what each costs, and how easily it is attacked."""
