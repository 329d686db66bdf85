// Call every function of the npm client, and write all results as JSON.
// usage: NODE_PATH=… node call_every_function.cjs PORT KEY
const http = require("http");
const https = require("https");

// The client has no option for HTTP, and the sandbox has no TLS.
https.request = http.request;

const [port, key] = process.argv.slice(2);
const client = require("akkio")(key);
client.URL = "127.0.0.1";
client.PORT = Number(port);

const results = {};

async function call(name, ...parameters) {
  results[name] = await client[name](...parameters);
  return results[name];
}

async function main() {
  const { dataset_id: datasetId } = await call("createDataset", "by npm");
  const rows = Array.from({ length: 200 }, (_, number) => ({
    x: number / 200,
    size: String(number),
    "is large": number >= 100,
  }));
  await call("addRowsToDataset", datasetId, rows);
  await call("parseDataset", datasetId);
  await call("getDataset", datasetId);
  await call("getDatasets");
  const { model_id: modelId } = await call("createModel", datasetId, ["is large"], ["size"], { duration: 1 });
  await call("makePrediction", modelId, [{ x: 0.25 }, { x: "0.75" }], { explain: true });
  await call("getModels");
  await call("deleteModel", modelId);
  await call("deleteDataset", datasetId);
  const functions = Object.getOwnPropertyNames(Object.getPrototypeOf(client));
  results.uncalled = functions.filter((name) => !["constructor", "request"].includes(name) && !(name in results));
  console.log(JSON.stringify(results));
}

main();
