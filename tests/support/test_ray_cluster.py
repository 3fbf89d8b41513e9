"""The cluster that tests of bulk work use: it has two nodes, loses one, and gets another."""

import logging

import pytest

from support.ray_cluster import NODES, RayCluster

pytestmark = pytest.mark.ray


def test_a_killed_node_is_gone_with_its_workers_and_another_takes_its_place(two_nodes: RayCluster) -> None:
    import ray

    ray.init(two_nodes.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        here = ray.remote(num_cpus=1)(lambda: ray.get_runtime_context().get_node_id())
        first, lost = two_nodes.nodes
        assert ray.get(here.remote())
        lost.kill()
        assert first.runs
        assert not lost.runs
        assert not lost.workers()
        two_nodes.mend()
        assert len([node for node in two_nodes.nodes if node.runs]) == NODES
        assert ray.get(here.remote())
    finally:
        ray.shutdown()
