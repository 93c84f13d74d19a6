"""Questions from a loop to a server: in a thread, and none outlives the end."""

import asyncio
import threading

import pytest

import intdash_frames as idf
from intdash_frames.errors import ConnectionLost
from intdash_frames.live.questions import Questions


def test_questions_are_asked_in_a_thread_of_their_own_and_cut_at_the_end():
    async def run(client):
        questions = Questions(client.connection, "asker")
        name, where = await questions.ask(lambda connection: (connection.edges.me().name, threading.current_thread().name))
        assert (name, where) == ("demo", "asker")
        server.inject(idf.Fault.delay(100, path="/api/v1/auth/edges/me"))
        asking = asyncio.ensure_future(questions.ask(lambda connection: connection.edges.me()))
        await asyncio.sleep(0)
        questions.stop()
        with pytest.raises(ConnectionLost):
            await asking
        assert "asker" not in [each.name for each in threading.enumerate()]

    with idf.LocalServer() as server, server.client() as client:
        asyncio.run(run(client))
