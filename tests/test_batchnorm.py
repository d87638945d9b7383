"""BatchNorm's statistics: computed anew, and kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pretext.backbones import SmallNet
from pretext.backbones.batchnorm import norm_eval, norms, recalibrate_batchnorm


def maps_of(channels: int, height: int = 32, width: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


class TestBatchNorm:
    @staticmethod
    def network() -> SmallNet:
        torch.manual_seed(0)
        return SmallNet(1, widths=[4, 4, 4, 4, 4])

    def test_recalibrated_statistics_of_the_first_layer_are_those_of_its_input(self) -> None:
        network = self.network()
        batches = [3 * maps_of(1) + 1, maps_of(1, count=2) - 2]
        assert recalibrate_batchnorm(network, iter(batches)) == 4
        conv, norm = network.blocks["conv1"].conv, network.blocks["conv1"].norm
        with torch.no_grad():
            seen = [conv(batch).transpose(0, 1).flatten(1) for batch in batches]  # (C, B·H·W) each
        mean = torch.stack([s.mean(1) for s in seen]).mean(0)
        variance = torch.stack([s.var(1, correction=1) for s in seen]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, variance)

    def test_deeper_layers_see_what_the_batch_at_hand_normalised(self) -> None:
        network = self.network()
        batch = 5 * maps_of(1) + 3
        recalibrate_batchnorm(network, [batch])
        first, second = network.blocks["conv1"], network.blocks["conv2"]
        with torch.no_grad():
            x = first.conv(batch)
            mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
            seen = second.conv(((x - mean) / (variance + 1e-5).sqrt()).relu())
        torch.testing.assert_close(second.norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(second.norm.running_var, seen.var((0, 2, 3)), rtol=1e-4, atol=1e-5)

    def test_old_statistics_leave_no_trace(self) -> None:
        network = self.network()
        recalibrate_batchnorm(network, [100 * maps_of(1)])
        recalibrate_batchnorm(network, [maps_of(1)])
        fresh = self.network()
        recalibrate_batchnorm(fresh, [maps_of(1)])
        assert all(torch.equal(v, fresh.state_dict()[k]) for k, v in network.state_dict().items())

    def test_nothing_but_statistics_is_touched(self) -> None:
        class Watched(nn.Dropout):
            was_training = False

            def forward(self, x: Tensor) -> Tensor:
                self.was_training |= self.training
                return super().forward(x)

        watched = Watched()
        network = nn.Sequential(self.network().blocks["conv1"], watched).train()
        network[0].conv.eval()
        weight = network[0].conv.weight.clone()
        recalibrate_batchnorm(network, [maps_of(1)])
        assert not watched.was_training
        assert [m.training for m in (network, watched, network[0].norm, network[0].conv)] == [
            True,
            True,
            True,
            False,
        ]
        assert network[0].norm.momentum == 0.1
        assert torch.equal(network[0].conv.weight, weight)
        assert not network[0].norm.running_mean.requires_grad

    def test_without_images_it_refuses_and_keeps_the_old_statistics(self) -> None:
        network = self.network()
        recalibrate_batchnorm(network, [maps_of(1)])
        before = network.blocks["conv1"].norm.running_mean.clone()
        with pytest.raises(ValueError, match="empty"):
            recalibrate_batchnorm(network, [])
        assert torch.equal(network.blocks["conv1"].norm.running_mean, before)

    def test_modes_come_back_when_a_batch_fails(self) -> None:
        network = self.network().train()
        with pytest.raises(RuntimeError):
            recalibrate_batchnorm(network, [maps_of(3)])
        assert all(m.training for m in network.modules())
        assert all(norm.momentum == 0.1 for norm in norms(network))

    def test_norm_eval_holds_statistics_still_and_restores_modes(self) -> None:
        network = self.network().train()
        network.blocks["conv2"].eval()
        before = {name: value.clone() for name, value in network.named_buffers()}
        with norm_eval(network):
            assert network.training
            network(maps_of(1)).maps["conv5"].sum().backward()
        assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
        assert [norm.training for norm in norms(network)] == [True, False, True, True, True]
        network(maps_of(1))
        assert not torch.equal(
            network.blocks["conv1"].norm.running_mean, before["blocks.conv1.norm.running_mean"]
        )

    def test_norm_eval_equals_eval_mode_for_a_network_of_convolutions(self) -> None:
        network = self.network()
        recalibrate_batchnorm(network, [maps_of(1)])
        with torch.no_grad(), norm_eval(network.train()):
            trained = network(maps_of(1)).maps["conv5"]
        with torch.no_grad():
            assert torch.equal(trained, network.eval()(maps_of(1)).maps["conv5"])
