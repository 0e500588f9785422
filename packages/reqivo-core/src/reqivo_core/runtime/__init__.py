"""The leaves: the only modules that touch sockets, TLS, threads or an event loop.

Nothing is imported here. A blocking program never pays for asyncio, an unencrypted one never for ssl; whoever wants a
runtime imports its module: ``blocking``, ``asyncio``, ``tls``, ``driving``.
"""
