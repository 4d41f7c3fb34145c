"""What plugs into the domain's ports. Each adapter knows the domain, none knows another."""
