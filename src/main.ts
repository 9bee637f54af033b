#!/usr/bin/env node
// The pinned Node still calls node:sqlite experimental at every start; stderr belongs to what a command has to say.
process.removeAllListeners("warning");
process.on("warning", (warning) => {
  if (warning.name !== "ExperimentalWarning") process.stderr.write(`${warning.name}: ${warning.message}\n`);
});
const { main } = await import("./cli/main.ts");
process.exitCode = await main(process.argv.slice(2));
