"""How a network is computed: traced, compiled, in many processes."""
