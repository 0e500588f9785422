"""An HTTP client, blocking and async, whose transports are plug-ins."""
