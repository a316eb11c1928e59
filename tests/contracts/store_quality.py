"""What every store must do with what was measured of its answers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rag_grpc.core.errors import NotReady
from rag_grpc.core.models import Collection
from rag_grpc.core.ports import Store
from rag_grpc.core.quality import HOUR, KEPT, MOST, NEWEST, Measurement, Origin

NOW = 1_800_000_000 * 10**9
LATER = NOW + 10**9

RECALL = Measurement(NOW, "things", "recall_at_10", 0.75)
NDCG = Measurement(NOW, "things", "ndcg_at_10", 0.5)
OTHER = Measurement(NOW, "others", "recall_at_10", 1 / 3)
EVALUATED = Measurement(NOW, "things", "recall_at_10", 0.25, Origin.EVALUATION)


class QualityContract:
    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    async def test_nothing_was_measured_at_first(self, store: Store) -> None:
        assert await store.quality.since(0) == []
        assert await store.quality.last() == []

    async def test_measurements_come_back_in_order(self, store: Store) -> None:
        await store.quality.record([EVALUATED, RECALL, NDCG, OTHER])
        again = Measurement(LATER, "others", "recall_at_10", 0.0)
        await store.quality.record([again])
        assert await store.quality.since(0) == [OTHER, NDCG, RECALL, EVALUATED, again]
        assert await store.quality.since(LATER) == [again]
        assert await store.quality.since(LATER + 1) == []

    async def test_the_last_of_each_is_the_newest_whenever_it_was_recorded(self, store: Store) -> None:
        newer = Measurement(LATER, "things", "recall_at_10", 0.125)
        await store.quality.record([newer, EVALUATED, OTHER])
        await store.quality.record([RECALL, NDCG])
        assert await store.quality.last() == [OTHER, NDCG, newer, EVALUATED]

    async def test_one_of_the_same_moment_takes_the_other_s_place(self, store: Store) -> None:
        await store.quality.record([RECALL])
        corrected = Measurement(NOW, "things", "recall_at_10", 1.0)
        await store.quality.record([corrected])
        assert await store.quality.since(0) == [corrected]

    async def test_what_is_older_than_ninety_days_is_forgotten(self, store: Store) -> None:
        oldest = Measurement(NOW + KEPT, "others", "recall_at_10", 1.0)
        await store.quality.record([Measurement(NOW - 1, "things", "recall_at_10", 0.5), RECALL])
        await store.quality.record([oldest])
        assert await store.quality.since(0) == [RECALL, oldest]

    async def test_a_series_has_a_bound_and_keeps_the_newest_and_one_an_hour(self, store: Store) -> None:
        begin = NOW // HOUR * HOUR
        times = [begin + number * HOUR // 5 for number in range(MOST - 1)]
        last = times[-1] + 1
        series = [Measurement(time, "", "faithfulness", 0.5, Origin.EVALUATION) for time in times]
        await store.quality.record([OTHER, *series[: MOST // 2]])
        await store.quality.record(series[MOST // 2 :])
        await store.quality.record([Measurement(last, "", "faithfulness", 1.0, Origin.EVALUATION)])
        # One that takes another's place adds none.
        await store.quality.record([series[-1]])
        kept = [each.time for each in await store.quality.since(0) if each.measure == "faithfulness"]
        assert kept == [*times, last]
        await store.quality.record([Measurement(last + 1, "", "faithfulness", 1.0, Origin.EVALUATION)])
        kept = [each.time for each in await store.quality.since(0) if each.measure == "faithfulness"]
        everything = [*times, last, last + 1]
        hourly = {time // HOUR: time for time in everything[:-NEWEST]}
        assert kept == [*hourly.values(), *everything[-NEWEST:]]
        assert len(kept) < MOST
        assert OTHER in await store.quality.since(0)

    async def test_series_are_bounded_each_for_itself(self, store: Store) -> None:
        await store.quality.record([replace(RECALL, time=NOW + number) for number in range(MOST)])
        others = [NDCG, OTHER, EVALUATED]
        await store.quality.record(others)
        assert len(await store.quality.since(0)) == MOST + len(others)
        await store.quality.record([replace(EVALUATED, time=NOW + number) for number in range(MOST + 1)])
        assert len(await store.quality.since(0)) == MOST + 2 + NEWEST + 1

    async def test_recording_nothing_forgets_nothing(self, store: Store) -> None:
        await store.quality.record([RECALL])
        await store.quality.record([])
        assert await store.quality.since(0) == [RECALL]

    async def test_measurements_outlive_their_collection(self, store: Store, collection: Collection) -> None:
        await store.quality.record([RECALL])
        await store.delete_collection(collection)
        assert await store.quality.last() == [RECALL]

    async def test_nothing_is_measured_of_a_store_that_is_not_open(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "other")

        async def refuses() -> None:
            with pytest.raises(NotReady):
                await store.quality.record([RECALL])
            with pytest.raises(NotReady):
                await store.quality.since(0)
            with pytest.raises(NotReady):
                await store.quality.last()

        await refuses()
        await store.open()
        await store.close()
        await refuses()


class DurableQualityContract(QualityContract):
    async def test_measurements_are_there_after_a_restart(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        await store.quality.record([RECALL, EVALUATED])
        await store.close()
        store = self.make_store(tmp_path)
        await store.open()
        try:
            assert await store.quality.since(NOW) == [RECALL, EVALUATED]
            assert await store.quality.last() == [RECALL, EVALUATED]
        finally:
            await store.close()

    async def test_measurements_are_there_after_a_kill(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path / "killed")
        await store.open()
        await store.quality.record([RECALL])
        # What is on disk at this moment is what a killed process leaves.
        shutil.copytree(tmp_path / "killed", tmp_path / "left")
        await store.close()
        store = self.make_store(tmp_path / "left")
        await store.open()
        try:
            assert await store.quality.since(0) == [RECALL]
        finally:
            await store.close()
