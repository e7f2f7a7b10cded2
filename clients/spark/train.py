"""Trains item vectors (ALS) and item neighbours (item CF) with Spark on an exported log, and pushes them.

    spark-submit clients/spark/train.py FOLDER SERVER

FOLDER is what ``qianmian export days FOLDER`` keeps up to date, or a copy of it that the cluster reads. Only items leave
the cluster: the driver holds a vector and the neighbours of each, and the server folds users in from their histories, up
to the event that has just come. Needs: pip install pyspark, and the client (pip install ./clients/python)
"""

import argparse
import datetime
import json
import os
import urllib.parse

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from qianmian import Client, Refused, layout

# What an event says of a user's interest, from none to a purchase.
WEIGHTS = {"view": 0.2, "click": 0.3, "favorite": 0.6, "add_to_cart": 0.7, "purchase": 1.0}

# Length below which a vector says nothing; the server takes vectors from 1e-6 on.
MIN_LENGTH = 1e-4


def listed(folder: str) -> list[str]:
    """The files in force, in which each event is once. A folder elsewhere must hold no others, as a copy that was made
    with ``--delete`` between two exports."""
    path = urllib.parse.urlparse(folder)
    if path.scheme not in ("", "file"):
        return [f"{folder.rstrip('/')}/day=*"]
    names = os.path.join(path.path, "_days.json")
    if not os.path.exists(names):
        raise SystemExit(f"{names} is missing: `qianmian export days FOLDER` writes it")
    with open(names) as read:
        days = json.load(read)["days"].values()
    return [f"file://{os.path.abspath(path.path)}/{file}" for day in days for file in day["files"]]


def interactions(spark: SparkSession, folder: str, until: datetime.datetime) -> DataFrame:
    """user, item, weight, newest: a row for each pair of a user and an item, until a time."""
    events = spark.read.parquet(*listed(folder)).where(F.col("timestamp") <= F.lit(until))
    known = [F.lit(word) for pair in WEIGHTS.items() for word in pair]
    weighted = events.withColumn("weight", F.create_map(*known)[F.col("event")]).where("weight is not null")
    pairs = weighted.groupBy("user_id", "item_id").agg(
        F.sum("weight").alias("weight"), F.max("timestamp").alias("newest")
    )
    return pairs.withColumn("weight", F.log1p("weight"))


def numbered(pairs: DataFrame, column: str) -> DataFrame:
    """The ids of a column, each with a number from 0 on."""
    # In their order, so that a part that is computed again has the same numbers.
    ids = pairs.select(column).distinct().orderBy(column).rdd.map(lambda row: row[0]).zipWithIndex()
    return ids.toDF([column, column.replace("_id", "")])


def neighbours(numbers: DataFrame, k: int, of_each_user: int) -> DataFrame:
    """item, other, score: the k items with the largest cosine of their users, from each user's newest items."""
    newest = Window.partitionBy("user").orderBy(F.col("newest").desc(), "item")
    kept = numbers.withColumn("place", F.row_number().over(newest)).where(F.col("place") <= of_each_user)
    kept = kept.select("user", "item", "weight")
    lengths = kept.groupBy("item").agg(F.sqrt(F.sum(F.col("weight") ** 2)).alias("length"))
    others = kept.select("user", F.col("item").alias("other"), F.col("weight").alias("of_other"))
    together = kept.join(others, "user").where("item != other").groupBy("item", "other")
    dots = together.agg(F.sum(F.col("weight") * F.col("of_other")).alias("dot"))
    of_others = lengths.select(F.col("item").alias("other"), F.col("length").alias("other_length"))
    scored = dots.join(lengths, "item").join(of_others, "other")
    scored = scored.withColumn("score", F.col("dot") / (F.col("length") * F.col("other_length")))
    best = Window.partitionBy("item").orderBy(F.col("score").desc(), "other")
    ranked = scored.withColumn("place", F.row_number().over(best)).where(F.col("place") <= k)
    return ranked.select("item", F.col("place") - 1, "other", "score")


def known(vectors: np.ndarray, places: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, ...]:
    """Leaves out items of which nothing was learned, whose vectors are all but zero: the server takes none of them.
    Returns which are kept, and their neighbours by their new numbers."""
    kept = np.linalg.norm(vectors, axis=1) > MIN_LENGTH
    number = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    places = np.where(places >= 0, number[places], -1)[kept]
    return kept, places, np.where(places >= 0, scores[kept], 0.0).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("server")
    parser.add_argument("--rank", type=int, default=64, help="dimensions of the vectors [64]")
    parser.add_argument("--iterations", type=int, default=10, help="of ALS [10]")
    parser.add_argument("--neighbours", type=int, default=50, help="of each item [50]")
    parser.add_argument("--of-each-user", type=int, default=200, help="items of a user that are paired [200]")
    parser.add_argument("--hold-out", type=int, default=14, help="newest days, by which the server judges [14]")
    parser.add_argument("--blocks", type=int, default=10, help="of users and of items in ALS [10]")
    given = parser.parse_args()

    spark = SparkSession.builder.appName("qianmian").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    files = listed(given.folder)
    newest = spark.read.parquet(*files).agg(F.max("timestamp")).collect()[0][0] if files else None
    if newest is None:
        raise SystemExit(f"{given.folder} has no events yet")
    until = newest.astimezone(datetime.timezone.utc) - datetime.timedelta(days=given.hold_out)
    held_out = spark.read.parquet(*files).where(F.col("timestamp") > F.lit(until)).count()
    print(f"the last event is of {newest:%Y-%m-%d}; {held_out} events since {until:%Y-%m-%d} are left for the server to judge by")
    pairs = interactions(spark, given.folder, until).cache()
    items = numbered(pairs, "item_id").cache()
    users = numbered(pairs, "user_id")
    numbers = pairs.join(items, "item_id").join(users, "user_id").select(
        F.col("user").cast("int"), F.col("item").cast("int"), F.col("weight").cast("float"), "newest"
    )
    numbers = numbers.cache()

    als = ALS(
        rank=given.rank, maxIter=given.iterations, implicitPrefs=True, alpha=10.0, regParam=0.05, seed=1,
        userCol="user", itemCol="item", ratingCol="weight",
        numUserBlocks=given.blocks, numItemBlocks=given.blocks,
    )
    ids = [row[0] for row in items.orderBy("item").select("item_id").collect()]
    vectors = np.zeros((len(ids), given.rank), dtype=np.float32)
    for row in als.fit(numbers).itemFactors.toLocalIterator():
        vectors[row["id"]] = row["features"]
    places = np.full((len(ids), given.neighbours), -1, dtype=np.int32)
    scores = np.zeros((len(ids), given.neighbours), dtype=np.float32)
    for item, place, other, score in neighbours(numbers, given.neighbours, given.of_each_user).toLocalIterator():
        places[item, place], scores[item, place] = other, score
    kept, places, scores = known(vectors, places, scores)
    ids, vectors = [item for item, is_kept in zip(ids, kept) if is_kept], vectors[kept]
    print(f"trained on {numbers.count()} pairs of {len(ids)} items until {until:%Y-%m-%d}")
    spark.stop()

    tensors = {
        **layout.ids("item", ids),
        "item_embeddings": vectors,
        "item_neighbours": places,
        "item_neighbours.scores": scores,
    }
    file = layout.encode(tensors, {"trained_until": str(round(until.timestamp() * 1_000))})
    with Client(given.server) as client:
        try:
            pushed = client.push_model(file, pushed_by="clients/spark/train.py", note=f"Spark, {given.rank} factors")
        except Refused as refused:
            raise SystemExit("\n".join([str(refused), *refused.checks.values()]))
        for check in pushed.checks:
            print(f"{check.name:20} {check.figure:10.4f}  {check.verdict}: {check.limit}")
        print(f"generation {pushed.generation} is {pushed.role}")


if __name__ == "__main__":
    main()
