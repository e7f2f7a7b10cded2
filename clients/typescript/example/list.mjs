// Prints a list for a user, from Node.js: node example/list.mjs [URL [USER]]

import { connect } from "qianmian";

const [url = "http://127.0.0.1:50051", userId = "12583"] = process.argv.slice(2);
const shop = connect(url, { key: process.env.QIANMIAN_KEY });

const { items } = await shop.recommendations.recommend({ userId, limit: 5 });
for (const { itemId, score } of items) console.log(itemId, score.toFixed(4));

for await (const each of shop.recommendations.batchRecommend({ userIds: [userId, "anna"], limit: 2 })) {
  console.log(each.userId, each.recommendation?.items.map((item) => item.itemId).join(" "));
}
