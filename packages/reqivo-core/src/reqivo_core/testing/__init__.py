"""The kit for authors of plug-ins: what reqivo's own transports are tested with.

=====================  =============================================================================================
``memory``             a world without sockets, threads or real time: runs repeat exactly, waits take no time
``streams``            connections in memory: pairs, scripts, every way to cut octets into reads
``failing``            failures at the n-th leaf call, for every n
``transport_suite``    tests that any transport can be put to: subclass, say where the server is, done
``suite_app``          what that server has to answer
``recorder``           a plugin that remembers every hook call
``pytest_plugin``      all of it as fixtures; the one module that needs pytest
=====================  =============================================================================================

Nothing is imported here, and nothing but ``pytest_plugin`` depends on a test runner.
"""
