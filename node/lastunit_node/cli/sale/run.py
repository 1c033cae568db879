"""The four acts in a row: what is played, on which cluster, and what is made of it."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from lastunit_client import LastUnitError, Outcome
from lastunit_node.cli.errors import ExitStatus, LocalClusterError
from lastunit_node.cli.sale.audit import audit
from lastunit_node.cli.sale.buyer import Buyer
from lastunit_node.cli.sale.chaos import Chaos
from lastunit_node.cli.sale.cluster import SaleCluster, throwaway_cluster
from lastunit_node.cli.sale.faults import SaleFault, SenselessAnswer
from lastunit_node.cli.sale.naive import naive_sale
from lastunit_node.cli.sale.plan import LAST_VASE, SKU, BuyerPlan, Options, SalePlan, plan_sale
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import BuyerReport, Evidence, LeaderKill, ZombieReport
from lastunit_node.cli.sale.report import Json, failed_report, sale_report
from lastunit_node.cli.sale.show import Show
from lastunit_node.cli.sale.verdict import judge
from lastunit_node.cli.sale.zombie import zombie_act

FAULTS: Final = (LastUnitError, LocalClusterError, SaleFault, OSError)
LIMIT_SECONDS: Final = 300.0  # for acts two and three


class SaleResult(NamedTuple):
    """What was found, and what the program ends with."""

    report: Json
    status: ExitStatus


async def hold_sale(options: Options, show: Show) -> SaleResult:
    """All of it. Cancel it to have everything cleaned up."""
    started = time.monotonic()
    plan = plan_sale(options)
    show.opening(plan)
    show.act_one()
    naive = await naive_sale(plan)
    show.naive(naive)
    try:
        evidence = await _acts_on_a_cluster(plan, show)
    except FAULTS as fault:
        show.failed(fault)
        return SaleResult(failed_report(plan, naive, fault), ExitStatus.FAILED)
    verdict = judge(plan, evidence)
    seconds = time.monotonic() - started
    show.ending(plan, evidence, verdict, seconds)
    status = ExitStatus.ACCEPTED if verdict.ok else ExitStatus.REFUSED
    return SaleResult(sale_report(plan, naive, evidence, verdict, seconds), status)


async def _acts_on_a_cluster(plan: SalePlan, show: Show) -> Evidence:
    show.act_two(plan)
    started = time.monotonic()
    async with throwaway_cluster(plan.options.nodes) as cluster:
        leader = await cluster.leader()
        show.cluster_serves(leader.node, leader.term, time.monotonic() - started)
        await _receive_vases(plan, cluster)
        buyers, kills = await _sell(plan, cluster, show)
        if not kills:
            show.act_three(0)
        show.sold_out(buyers)
        show.act_four()
        zombie = await _play_zombie(cluster)
        show.zombie(zombie)
        nodes = await audit({name: cluster.endpoint(name) for name in cluster.names})
        await cluster.leader()
        return Evidence(buyers, nodes, kills, cluster.terms, zombie)


async def _receive_vases(plan: SalePlan, cluster: SaleCluster) -> None:
    async with cluster.client(cluster.names[0]) as client:
        result = await client.receive_stock({SKU: plan.options.units, LAST_VASE: 1}, receipt_id="delivery")
    if result.outcome is not Outcome.RECEIVED:
        raise SenselessAnswer("receive_stock", result)


async def _sell(
    plan: SalePlan, cluster: SaleCluster, show: Show
) -> tuple[tuple[BuyerReport, ...], tuple[LeaderKill, ...]]:
    """Acts two and three at once: the buyers buy while the nodes are mistreated."""
    progress = Progress()
    mischief = asyncio.create_task(Chaos(plan, cluster, progress, show).run())
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            with show.live(progress):
                buyers = await asyncio.gather(*(_buy(plan, buyer, cluster, progress) for buyer in plan.buyers))
                await progress.close()
                return tuple(buyers), await mischief
    except TimeoutError:
        raise SaleFault(f"the sale did not end within {LIMIT_SECONDS:g} s") from None
    finally:
        mischief.cancel()
        await asyncio.gather(mischief, return_exceptions=True)


async def _buy(plan: SalePlan, buyer: BuyerPlan, cluster: SaleCluster, progress: Progress) -> BuyerReport:
    home = cluster.names[buyer.home]
    async with cluster.client(home) as shop:
        return await Buyer(buyer, home, shop, plan.choices(buyer.name), progress).buy()


async def _play_zombie(cluster: SaleCluster) -> ZombieReport:
    async with AsyncExitStack() as clients:
        zombie = await clients.enter_async_context(cluster.client(cluster.names[0]))
        heir = await clients.enter_async_context(cluster.client(cluster.names[-1]))
        return await zombie_act(zombie, heir, cluster.clock)
