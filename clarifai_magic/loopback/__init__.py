"""Servers only for this machine, which handle no key: the sandbox's and the broker's."""
