"""Recommendations from item vectors: what else do people watch who watched this? Runs offline, in seconds.

`python examples/recommendations.py` makes up 3,000 viewers with tastes and 600 films with genres, learns a vector for
each film from who watched what (positive pointwise mutual information and a singular value decomposition; it is not
told the genres), and keeps the vectors in a collection. Then it recommends, and counts how often it guesses one film
that was kept from it, beside recommending what is popular.
"""

from __future__ import annotations

import tempfile

import numpy as np

import vego

VIEWERS, WATCHED, DIMENSION = 3000, 24, 32
GENRES = {
    "western": ("Dust", "Saddle", "Canyon", "Sheriff", "Stagecoach"),
    "space": ("Orbit", "Nebula", "Airlock", "Comet", "Signal"),
    "heist": ("Vault", "Getaway", "Safe", "Diamond", "Alibi"),
    "romance": ("Letter", "Wedding", "Summer", "Kiss", "Balcony"),
    "horror": ("Cellar", "Crypt", "Howl", "Mirror", "Fog"),
    "cooking": ("Kitchen", "Saffron", "Bakery", "Feast", "Lemon"),
    "nature": ("Glacier", "Reef", "Savanna", "Migration", "Forest"),
    "music": ("Encore", "Vinyl", "Quartet", "Chorus", "Tour"),
}
ENDINGS = ("at Dawn", "Returns", "of the North", "Forever", "in Winter", "Without End", "Two", "Lost", "by Night",
           "and Me", "Rising", "Blues", "on Fire", "Revisited", "Stories")  # fmt: skip


def make_films() -> dict[str, list[str] | list[int]]:
    """Title, genre and year of every film."""
    random = np.random.default_rng(7)
    named = [(f"{word} {end}", genre) for genre, words in GENRES.items() for word in words for end in ENDINGS]
    years = random.integers(1960, 2025, len(named)).tolist()
    return {"title": [one for one, _ in named], "genre": [one for _, one in named], "year": years}


def make_views(genres: list[str]) -> np.ndarray:
    """Who watched what, bool (viewers, films): mostly two genres each, some films more popular than others."""
    random = np.random.default_rng(8)
    kinds = list(GENRES)
    genre_of = np.array([kinds.index(one) for one in genres])
    popularity = random.pareto(3.0, len(genres)) + 0.3
    views = np.zeros((VIEWERS, len(genres)), bool)
    for viewer in range(VIEWERS):
        liked = random.choice(len(kinds), 2, replace=False)
        weight = popularity * np.where(np.isin(genre_of, liked), 1.0, 0.03)
        views[viewer, random.choice(len(genres), WATCHED, replace=False, p=weight / weight.sum())] = True
    return views


def item_vectors(views: np.ndarray) -> np.ndarray:
    """Float32 (films, DIMENSION): films that are watched together more often than chance point the same way."""
    counts = views.astype(np.float64)
    together = counts.T @ counts
    single = counts.sum(axis=0)
    expected = np.outer(single, single) / len(views)
    surprise = np.log(np.maximum(together, 1e-9) / np.maximum(expected, 1e-9)).clip(min=0)
    np.fill_diagonal(surprise, 0)
    left, strength, _ = np.linalg.svd(surprise)
    return (left[:, :DIMENSION] * np.sqrt(strength[:DIMENSION])).astype(np.float32)


def like_this(films: vego.Collection, title: str) -> None:
    """The nearest films of the last decades."""
    found = films.get(title)
    assert found is not None
    print(f"viewers of {title!r} ({found.metadata['genre']}), films since 1990:")
    since = (vego.field("year") >= 1990) & (vego.field("title") != title)
    for hit in films.search(found.vector, k=5, filter=since):
        print(f"  {hit.score:.2f}  {hit.id:<24} {hit.metadata['genre']}, {hit.metadata['year']}")


def hit_rate(films: vego.Collection, views: np.ndarray, kept: np.ndarray, titles: list[str]) -> float:
    """How often the film that was kept back is among ten recommendations for what else the viewer watched."""
    row_of = {title: row for row, title in enumerate(titles)}
    vectors = np.stack([one.vector for one in films.get_batch(titles)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tastes = views.astype(np.float32) @ unit
    ids, _ = films.search_batch(tastes, k=10 + WATCHED)
    found = 0
    for viewer, row in enumerate(ids):
        news = [row_of[one] for one in row if one is not None and not views[viewer, row_of[one]]][:10]
        found += kept[viewer] in news
    return found / len(kept)


def main() -> None:
    """Learn, recommend, measure."""
    columns = make_films()
    titles, genres = [str(one) for one in columns["title"]], [str(one) for one in columns["genre"]]
    views = make_views(genres)
    random = np.random.default_rng(9)
    kept = np.array([random.choice(np.flatnonzero(row)) for row in views])
    views[np.arange(VIEWERS), kept] = False
    with tempfile.TemporaryDirectory() as directory, vego.open(directory, metric="cosine") as db:
        films = db.collection("films")
        films.insert_batch(ids=titles, vectors=item_vectors(views), metadata=columns)
        print(f"{len(films)} films, {int(views.sum()):,} views by {VIEWERS:,} viewers\n")
        for title in ("Canyon at Dawn", "Saffron Stories"):
            like_this(films, title)
        learned = hit_rate(films, views, kept, titles)
    popular = np.argsort(-views.sum(axis=0))
    guessed = np.mean([kept[i] in popular[~views[i, popular]][:10] for i in range(VIEWERS)])
    print("\nthe film that was kept back is among ten recommendations:")
    print(f"  by vectors    {learned:6.1%}")
    print(f"  by popularity {guessed:6.1%}")


if __name__ == "__main__":
    main()
