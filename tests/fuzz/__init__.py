"""``make fuzz``: the property tests on new examples, for as long as asked."""
