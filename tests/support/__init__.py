"""What the test suites share. Nothing here depends on reqivo, but for ``world``, ``scenarios`` and ``streamed``.

================== ===================================================================================================
``fixtures``       the library as pytest fixtures; start reading here
``servers``        real servers: ASGI over HTTP/1.1 and HTTP/2, httpbin, ``aiohttp.web``
``asgi_app``       the application they serve by default, with the table of its paths
``scripted``       servers that follow a script byte by byte; ``messages`` builds what they send
``streamed``       a server that is a conversation over a stream, as transports are
``proxy``          an HTTP proxy that leads any host name to this machine
``toxics``         a bad network in front of any server
``certs``          an authority, good certificates and bad ones
``leaks``          the check that nothing was left behind; ``ownership`` says what is the servers'
``world``          one test for blocking and async sessions
``http_state``     what browsers make of Set-Cookie, as data; ``public_suffixes`` who may register what
``scenarios``      what servers may do, as data, and the one way in which it is all run
================== ===================================================================================================

``loops``, ``threads``, ``listening``, ``pumping``, ``resets``, ``tls_end`` and ``wsgi`` are the machinery;
``measuring`` lets coverage and forks go together.
"""
