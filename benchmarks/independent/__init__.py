"""Forgeries of photographs by another program than `ft_forge`: it shares no edit and no blend."""
