"""The recorder writes down every hook that there is."""

import inspect

import pytest
from reqivo_demo_frames import FramesPlugin
from reqivo_demo_frames.serving import serve_frames

from reqivo_core import Session, hookspecs
from reqivo_core.errors import DNSError
from reqivo_core.testing.memory import MemoryRuntime
from reqivo_core.testing.recorder import Recorder


def test_all_is_written_down(memory_runtime: MemoryRuntime, recorder: Recorder) -> None:
    memory_runtime.listen("example.org", 7000, serve_frames)
    with Session(runtime=memory_runtime, plugins=[FramesPlugin(), recorder]) as session:
        response = session.get("frames://example.org:7000/hello")
        with pytest.raises(DNSError) as caught:
            session.get("frames://elsewhere.example/")
    assert recorder.names == [
        "session_opened",
        "prepare_request",
        "response_received",
        "prepare_request",
        "request_failed",
        "session_closed",
    ]
    assert recorder.of("session_opened") == [{"session": session}]
    assert recorder.of("response_received") == [{"request": response.request, "response": response}]
    assert recorder.of("request_failed")[0]["error"] is caught.value
    assert recorder.phases[:4] == ["dns started", "dns complete", "connect started", "connect complete"]
    assert recorder.phases[-2:] == ["dns started", "dns failed"]
    assert recorder.events[0].info["host"] == "example.org"
    recorder.clear()
    assert recorder.calls == []


def test_no_hook_is_forgotten() -> None:
    specified = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("reqivo_")}
    told = {name for name in specified if not name.startswith("reqivo_register_")}
    assert told == {name for name in dir(Recorder) if name.startswith("reqivo_")}
