import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { buildDataset } from "../../flows/build-dataset.ts";
import type { Files, Log, Syntax } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

type BuildOptions = { sets: string[]; out: string; limit?: number; json?: boolean };

/** `dataset build`: candidate sets to training, meta and validation rows with a card. */
export function addDatasetCommand(
  program: Command,
  context: CommandContext,
  open: { syntax: () => Promise<Syntax>; files: () => Files },
): void {
  program
    .command("dataset")
    .description("training data")
    .command("build")
    .description("candidate sets to training, meta and validation rows with a card")
    .requiredOption("--sets <file...>", "candidate sets (JSONL, .gz or not)")
    .requiredOption("--out <folder>", "where the rows and the card go")
    .option("--limit <n>", "problems of each set", positiveInteger)
    .option("--json", "print the card as JSON")
    .action(async (options: BuildOptions) => {
      const silent = () => {};
      const log: Log = {
        debug: silent,
        info: (message, fields) => context.stderr(`${message} ${Object.values(fields ?? {}).join(" · ")}\n`),
        warn: silent,
        error: silent,
      };
      const out = resolve(context.cwd, options.out);
      const card = await buildDataset(
        { sets: options.sets.map((path) => resolve(context.cwd, path)), out, limit: options.limit ?? null },
        open.files(),
        await open.syntax(),
        log,
      );
      const { training, meta, validation } = card.splits;
      context.stdout(
        options.json === true
          ? `${JSON.stringify(card)}\n`
          : `${out}: ${training.rows} training, ${meta.rows} meta, ${validation.rows} validation rows; see card.md\n`,
      );
    });
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("a whole number from 1 up");
  return value;
}
