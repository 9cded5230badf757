"""Rival continuations as a tree of tokens, so that what they share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """One token of the tree; `choices` are the continuations that pass through it, `ends` those that stop."""

    token: int
    parent: int
    choices: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    children: dict[int, int] = field(default_factory=dict)

    @property
    def parts(self) -> bool:
        """Whether the continuations part here."""
        return len(self.children) + bool(self.ends) > 1


def token_trie(continuations: Sequence[Sequence[int]]) -> list[Node]:
    """Nodes with parents before children; node 0 is the root, which stands for the text before (token -1)."""
    nodes = [Node(token=-1, parent=-1)]
    for choice, tokens in enumerate(continuations):
        place = 0
        nodes[0].choices.append(choice)
        for token in tokens:
            child = nodes[place].children.get(token)
            if child is None:
                child = len(nodes)
                nodes[place].children[token] = child
                nodes.append(Node(token, place))
            nodes[child].choices.append(choice)
            place = child
        nodes[place].ends.append(choice)
    return nodes


def to_decide(nodes: Sequence[Node]) -> list[int]:
    """The nodes whose likelihoods settle every parting: those that part and their ancestors, in order."""
    needed: set[int] = set()
    for place, node in enumerate(nodes):
        while node.parts and place not in needed and place >= 0:
            needed.add(place)
            place = nodes[place].parent
    return sorted(needed)


def common_prefix(first: Sequence[object], second: Sequence[object]) -> int:
    """Length of the longest common prefix."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length
