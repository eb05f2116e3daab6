// Prints what gpt-tokenizer knows of the models whose names are given, as JSON: {"name": {"main": {"input": 0.5, …}, "batch": {…}}}.
import * as models from "gpt-tokenizer/models";

const found = {};
for (const name of process.argv.slice(2)) {
  if (!models[name]?.price_data) throw new Error(`gpt-tokenizer has no price of ${name}`);
  found[name] = models[name].price_data;
}
console.log(JSON.stringify(found));
