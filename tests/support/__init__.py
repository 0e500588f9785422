"""What the test suites share: certificates, servers, proxies, faults and the leak check.

Nothing here depends on reqivo, but for :mod:`support.world`, which imports it when used.
"""
