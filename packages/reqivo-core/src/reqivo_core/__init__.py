"""The core of reqivo: sessions, pool, engine and runtimes, and the contracts that transports plug into."""
