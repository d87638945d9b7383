"""What heads are shown: published sizes, and class tokens as the transformer itself gives them."""

import pytest
import torch
from planted import constant, small_encoder
from torch import Tensor
from torch.nn import functional as F

from downstream.features.extraction import Frozen
from downstream.features.pooling import AverageResize, BilinearResize
from downstream.heads.inputs import EveryStage, LastBlocks, LastClassTokens, LastStage
from downstream.heads.sgd_heads import Source
from pretext.backbones.alexnet import AlexNet
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import Encoder
from pretext.inputs import RGB, Lightness


def transformer() -> Encoder:
    torch.manual_seed(0)
    backbone = VisionTransformer(3, image_size=32, patch_size=8, width=24, depth=6, heads=2, every=2)
    return Encoder(RGB(), backbone).eval()


def test_alexnets_stages_get_the_published_sizes() -> None:
    backbone = AlexNet(1, fully_connected=False)
    assert backbone.stage_names == ("conv1", "conv2", "conv3", "conv4", "conv5")
    encoder = Encoder(Lightness(), backbone).eval()
    images = torch.rand(1, 3, 227, 227)
    with torch.no_grad():
        maps = encoder(images).maps
        for pool in (BilinearResize(), AverageResize()):
            assert [pool.side(x) for x in maps.values()] == [10, 6, 5, 5, 6]
            seen = EveryStage(pool)(Frozen(encoder), images)
            assert [x[0].numel() for x in seen.values()] == [9600, 9216, 9600, 9600, 9216]
            assert [x.shape[1] for x in seen.values()] == [stage.channels for stage in encoder.stages]
            assert list(seen) == [Source(name) for name in encoder.stage_names]


def test_resizing_is_bilinear_or_an_average_and_never_enlarges() -> None:
    maps, index = torch.rand(2, 3, 12, 12), torch.arange(2)
    found = BilinearResize(3 * 16)(maps, index).view(2, 3, 4, 4)
    # 12 → 4: sample points lie at 1, 4, 7, 10, on pixels.
    torch.testing.assert_close(found, maps[:, :, 1::3, 1::3])
    found = AverageResize(3 * 16)(maps, index).view(2, 3, 4, 4)
    torch.testing.assert_close(found, maps.view(2, 3, 4, 3, 4, 3).mean((3, 5)))
    for pool in (BilinearResize(10**6), AverageResize(10**6)):
        torch.testing.assert_close(pool(maps, index), maps.flatten(1))
    for pool in (BilinearResize(1), AverageResize(1)):
        assert pool(maps, index).shape == (2, 3), "at least one cell"
    with pytest.raises(ValueError, match="BilinearResize: dimension must be at least 1, got 0"):
        BilinearResize(0)


def test_last_stage_is_averaged() -> None:
    encoder, images = small_encoder(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        seen = LastStage()(Frozen(encoder), images)
        wanted = encoder(images).maps["conv5"].mean((2, 3))
    torch.testing.assert_close(seen, {Source("conv5"): wanted.unsqueeze(2)})


def test_last_tokens_are_the_transformers_own() -> None:
    encoder, images = transformer(), torch.rand(2, 3, 32, 32)
    backbone = encoder.backbone
    assert isinstance(backbone, VisionTransformer)
    with torch.no_grad():
        features = encoder(images)
        tokens = Frozen(encoder).last_tokens(images, 4)
        patches = backbone.embed(encoder.input(images))
        first = backbone.blocks["embed"]
        token = (first.cls_token + first.pos_embed[:, :1]).expand(2, -1, -1)
        state = torch.cat([token, patches.values + patches.positions], 1)
        slow = []
        for name in ("block2", "block4", "block6"):
            for module in list(backbone.blocks[name])[:2]:
                state = module(state)
                slow.append(backbone.blocks["block6"].norm(state))
    assert len(tokens) == 4
    for one, other in zip(tokens, slow[-4:], strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(tokens[-1][:, 0], features.vectors["cls"])
    torch.testing.assert_close(tokens[-1][:, 1:].mean(1), features.maps["block6"].mean((2, 3)))
    with pytest.raises(ValueError, match="has 6 blocks, which cannot be the last 7"):
        Frozen(encoder).last_tokens(images, 7)
    with pytest.raises(TypeError, match="SmallNet has no class token"):
        Frozen(small_encoder()).last_tokens(images, 1)


def test_class_tokens_lie_side_by_side() -> None:
    encoder, images = transformer(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        seen = LastClassTokens(4)(Frozen(encoder), images)
        assert list(seen) == [Source("block6")]
        assert seen[Source("block6")].shape == (2, 4 * 24, 1)
        own = encoder(images).vectors["cls"]
        torch.testing.assert_close(seen[Source("block6")][:, -24:, 0], own)
        small = small_encoder()
        other = torch.rand(2, 3, 16, 16)
        torch.testing.assert_close(
            LastClassTokens(4)(Frozen(small), other), LastStage()(Frozen(small), other)
        )


def flat(seen: dict[Source, Tensor], stage: str) -> dict[str, Tensor]:
    assert {source.stage for source in seen} == {stage}
    return {source.reading: x[:, :, 0] for source, x in seen.items()}


def test_dinov2_reads_one_block_and_four_with_an_average_and_without() -> None:
    encoder, images = transformer(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        seen = flat(LastBlocks((1, 4), 9600)(Frozen(encoder), images), "block6")
        features = encoder(images)
    assert [x.shape[1] // 24 for x in seen.values()] == [1, 2, 4, 5]
    one, averaged, four, all_of_it = seen.values()
    average = features.maps["block6"].mean((2, 3))
    torch.testing.assert_close(one, features.vectors["cls"])
    torch.testing.assert_close(averaged, torch.cat([one, average], 1))
    torch.testing.assert_close(four[:, -24:], one)
    torch.testing.assert_close(all_of_it, torch.cat([four, average], 1))


def test_dinov2_reads_stages_where_there_are_no_class_tokens() -> None:
    encoder, images = small_encoder(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        seen = flat(LastBlocks((1, 4), 32)(Frozen(encoder), images), "conv5")
        maps = encoder(images).maps
    assert list(seen) == ["averages of 1", "cells of 1", "averages of 4", "cells of 4"]
    torch.testing.assert_close(seen["averages of 1"], maps["conv5"].mean((2, 3)))
    torch.testing.assert_close(
        seen["averages of 4"], torch.cat([maps[f"conv{i}"].mean((2, 3)) for i in range(2, 6)], 1)
    )
    cells = [F.adaptive_avg_pool2d(maps[f"conv{i}"], min(2, maps[f"conv{i}"].shape[2])) for i in range(2, 6)]
    torch.testing.assert_close(seen["cells of 4"], torch.cat([x.flatten(1) for x in cells], 1))
    torch.testing.assert_close(seen["cells of 1"], cells[-1].flatten(1))
    with pytest.raises(ValueError, match="the encoder has 1 stages, too few for the last 4"):
        LastBlocks((1, 4), 32)(Frozen(constant()), images)
