"""Flow control of what we receive: who decides how much the server may send (RFC 9113 §5.2).

A *window manager* is a class given to the session as ``window_manager=``. It is instantiated once for the connection
and once for every stream, and asked, as octets are used up, by how much their window is to be opened again:

* a stream's manager is told when the application *takes* octets, so that an application which does not read holds back
  the server, on that stream alone;
* the connection's manager is told when octets *arrive*, so that one stream that nobody reads does not hold back others.

The simplest manager opens the window by what was used::

    class Simple(BaseFlowControlManager):
        def increase_window_size(self, frame_size):
            return frame_size
"""

from __future__ import annotations

from reqivo_http2.frames import LARGEST_WINDOW

SMALLEST_WINDOW = 64 * 1024
LARGEST_TUNED_WINDOW = 16 * 1024 * 1024
STREAM_WINDOW = 256 * 1024
"""What a stream may send unasked. An unread stream holds no more than this."""
CONNECTION_WINDOW = 16 * 1024 * 1024
"""What all streams together may have on their way."""

SCANT_WINDOW = 1024
"""Octets below which a window counts as used up: a server may not bother to send so few."""


class BaseFlowControlManager:
    """Manages one window: subclass it and say how it grows.

    Attributes:
        initial_window_size: Octets with which the window began.
        window_size: Octets that the server may still send, as this manager has been told.
        document_size: The response's Content-Length, once it is known; None otherwise, and for the connection.
    """

    def __init__(self, initial_window_size: int) -> None:
        """Make a manager; the transport does.

        Args:
            initial_window_size: Octets with which the window begins.
        """
        self.initial_window_size = initial_window_size
        self.window_size = initial_window_size
        self.document_size: int | None = None

    def increase_window_size(self, frame_size: int) -> int:
        """Say by how much to open the window.

        Args:
            frame_size: Octets used up just now, padding included. They are no longer in ``window_size``.

        Returns:
            Octets to grant; 0 for none now.
        """
        # The decision is what a manager is for; as in hyper, which users' classes come from, the base makes none.
        raise NotImplementedError(f"{type(self).__name__}: override increase_window_size(frame_size)")

    def blocked(self) -> int:
        """Say by how much to open the window when it is used up and more is waited for.

        A stream's manager is asked when the application waits for octets; the connection's when they arrive, since
        what uses up its window may come on a stream that nobody reads.

        Returns:
            Octets to grant; 0 for none.
        """
        return 0

    def tune(self, product: int) -> None:  # most managers have no use for it
        """Learn the connection's bandwidth-delay product, measured by PING; called whenever it has grown.

        Args:
            product: Octets that can be on their way at once.
        """

    # What the transport calls.

    def used(self, size: int) -> int:
        """Account for octets that were used up.

        Returns:
            Octets to grant now.
        """
        self.window_size -= size
        increment = self.increase_window_size(size)
        return self._grant(increment) if increment else 0

    def waits(self) -> int:
        """Account for an application that waits at a window that is used up.

        Returns:
            Octets to grant now.
        """
        return self._grant(self.blocked())

    def _grant(self, increment: int) -> int:
        granted = max(0, min(int(increment), LARGEST_WINDOW - self.window_size))
        self.window_size += granted
        return granted


class FixedFlowControlManager(BaseFlowControlManager):
    """Keeps the window at its initial size; opens it again when half of it is used up."""

    def increase_window_size(self, frame_size: int) -> int:
        """See BaseFlowControlManager."""
        missing = self.initial_window_size - self.window_size
        return missing if missing * 2 >= self.initial_window_size else 0


class AutoTuningFlowControlManager(BaseFlowControlManager):
    """Lets the window grow with the connection's bandwidth-delay product, between 64 KiB and 16 MiB.

    Credit is given in halves of the window: few frames, and the server never has to wait for one of them. Towards the
    end of a response whose length is known there is none to give.
    """

    def __init__(self, initial_window_size: int) -> None:
        super().__init__(initial_window_size)
        self._target = max(SMALLEST_WINDOW, initial_window_size)
        self._taken = 0

    def tune(self, product: int) -> None:
        """See BaseFlowControlManager."""
        self._target = max(self._target, min(product, LARGEST_TUNED_WINDOW))

    def increase_window_size(self, frame_size: int) -> int:
        """See BaseFlowControlManager."""
        self._taken += frame_size
        missing = self._target - self.window_size
        if missing * 2 < self._target:
            return 0
        if self.document_size is not None and self.document_size - self._taken <= self.window_size:
            return 0
        return missing

    def blocked(self) -> int:
        """See BaseFlowControlManager: padding may have used up what seemed to be enough for the rest."""
        return max(0, self._target - self.window_size)


class BandwidthDelayEstimator:
    """Measures how much can be on its way at once, as gRPC and Go do: by what arrives between a PING and its ACK.

    A sample begins with the first octets after the last one; it counts only while it fills what is known already, and
    the bandwidth keeps growing. Once it no longer does, samples become rare, since some servers count PINGs.

    Attributes:
        product: The estimate, in octets.
        round_trip: Seconds; None before the first sample.
    """

    FIRST_PAUSE = 0.0
    FIRST_STABLE_PAUSE = 0.1
    LONGEST_PAUSE = 10.0
    _ENOUGH = 0.66
    _SMOOTHING = 0.125

    def __init__(self, product: int = STREAM_WINDOW) -> None:
        self.product = product
        self.round_trip: float | None = None
        self._best_rate = 0.0
        self._received = 0
        self._began: float | None = None
        self._not_before = 0.0
        self._pause = self.FIRST_PAUSE
        self._stable = 0

    def receive(self, size: int, now: float) -> bool:
        """Count octets that arrived.

        Returns:
            Whether to send a PING now, to begin a sample.
        """
        self._received += size
        if self._began is not None or now < self._not_before or self._received * 8 < self.product:
            return False
        self._received = size
        self._began = now
        return True

    def acknowledge(self, now: float) -> bool:
        """Take the PING's ACK.

        Returns:
            Whether the product has grown.
        """
        if self._began is None:
            return False
        sample = max(now - self._began, 1e-6)
        self._began = None
        old = self.round_trip
        self.round_trip = sample if old is None else old + (sample - old) * self._SMOOTHING
        received, self._received = self._received, 0
        rate = received / (1.5 * self.round_trip)
        if received >= self.product * self._ENOUGH and rate > self._best_rate and self.product < LARGEST_TUNED_WINDOW:
            self._best_rate = rate
            self.product = min(2 * received, LARGEST_TUNED_WINDOW)
            self._pause = self.FIRST_PAUSE
            self._stable = 0
            return True
        self._stable += 1
        if self._stable >= 2:
            self._pause = min(max(self.FIRST_STABLE_PAUSE, self._pause * 4), self.LONGEST_PAUSE)
        self._not_before = now + self._pause
        return False
