"""Attention of TimeSformer by PyTorch's fused kernels: the same function as upstream's, without its score matrices."""

from torch import Tensor, nn
from torch.nn import functional
from transformers.models.timesformer.modeling_timesformer import TimesformerSelfAttention


class FusedSelfAttention(nn.Module):
    """Multi-head self-attention with the parameters and key names of transformers' `TimesformerSelfAttention`.

    Upstream multiplies queries and keys into a matrix of scores, [B, heads, N, N], and keeps it together with its
    softmax; `scaled_dot_product_attention` computes the same in blocks.

    Args:
        eager: upstream's module; its projection and dropout are taken over.
    """

    def __init__(self, eager: TimesformerSelfAttention) -> None:
        super().__init__()
        self.heads: int = eager.num_heads
        self.qkv: nn.Linear = eager.qkv
        self.attn_drop: nn.Dropout = eager.attn_drop

    def forward(self, tokens: Tensor, output_attentions: bool = False) -> tuple[Tensor]:
        """Tokens [B, N, D] to tokens [B, N, D], in a tuple as upstream's layers expect it.

        `output_attentions` is upstream's; scores are not computed and cannot be given out.
        """
        if output_attentions:
            raise NotImplementedError("fused attention has no scores to give out")
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.attn_drop.p if self.training else 0.0
        context = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return (context.transpose(1, 2).flatten(2),)


def fuse_attention(network: nn.Module) -> None:
    """Put `FusedSelfAttention` in the place of every attention of a transformers TimeSformer; key names stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, TimesformerSelfAttention):
                setattr(parent, name, FusedSelfAttention(child))
