"""Real services, vulnerable and hardened side by side, and what starts, races and checks them. Not in the wheel."""
