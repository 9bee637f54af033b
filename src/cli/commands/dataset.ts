import { globSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { appendTexts } from "../../flows/append-texts.ts";
import { buildDataset } from "../../flows/build-dataset.ts";
import {
  buildSnapshot,
  diffSnapshots,
  LABELS_AN_ACTOR,
  readSnapshot,
  snapshotText,
} from "../../flows/build-snapshot.ts";
import { mutateFunctions, type SourceFile } from "../../flows/mutate-functions.ts";
import { type MutateSummary, mutatePrograms } from "../../flows/mutate-programs.ts";
import type { Clock, Files, Judge, LearningStore, Log, Syntax } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

type BuildOptions = {
  sets?: string[];
  labels?: boolean;
  out?: string;
  limit?: number;
  perActor: number;
  withoutActor: string[];
  json?: boolean;
};
type MutateCommand = { sets: string[]; out: string; limit?: number; json?: boolean } & {
  functions: number;
  bases: number;
  perFunction: number;
  seed: number;
};

/**
 * `dataset build`: candidate sets, or the labels of the log, to training, meta and validation rows with a card. `dataset
 * mutate`: known step truth. `dataset show` and `diff`: snapshots of labels.
 */
export function addDatasetCommand(
  program: Command,
  context: CommandContext,
  open: {
    syntax: () => Promise<Syntax>;
    files: () => Files;
    judge: () => Promise<Judge & { dispose(): void }>;
    learning: () => Promise<{ learning: LearningStore; close(): Promise<void> }>;
    /** Folder that snapshots of labels stand in. */
    snapshots(): string;
    clock: Clock;
  },
): void {
  const dataset = program.command("dataset").description("training data");
  addMutateCommand(dataset, context, open);
  addFunctionsCommand(dataset, context, open);
  addTextsCommand(dataset, context, open);
  addSnapshotCommands(dataset, context, open.files);
  const actors = (login: string, others: string[]) => [...others, login];
  dataset
    .command("build")
    .description("candidate sets, or the labels of the log, to training, meta and validation rows with a card")
    .option("--sets <file...>", "candidate sets (JSONL, .gz or not)")
    .option("--labels", "labels of merged pull requests, from the database")
    .option(
      "--out <folder>",
      "where the rows and the card go; with --labels a folder named by their content, below snapshots/ of LEARNING_DIR",
    )
    .option("--limit <n>", "problems of each set", positiveInteger)
    .option("--per-actor <n>", "labels of one person at most", positiveInteger, LABELS_AN_ACTOR)
    .option("--without-actor <login>", "leave a person's labels out; may be given again", actors, [])
    .option("--json", "print the card as JSON")
    .action(async (options: BuildOptions) => {
      if ((options.labels === true) === (options.sets !== undefined))
        throw new FunprmError("BAD_USAGE", "dataset build: give --sets FILE… or --labels");
      if (options.sets === undefined) {
        const { learning, close } = await open.learning();
        try {
          const card = await buildSnapshot(
            { learning, files: open.files(), clock: open.clock },
            {
              out: options.out === undefined ? open.snapshots() : resolve(context.cwd, options.out),
              perActor: options.perActor,
              without: options.withoutActor,
              repositoryId: null,
            },
          );
          context.stdout(options.json === true ? `${JSON.stringify(card)}\n` : `${card.folder}\n${snapshotText(card)}`);
        } finally {
          await close();
        }
        return;
      }
      if (options.out === undefined) throw new FunprmError("BAD_USAGE", "dataset build --sets: give --out FOLDER");
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

function addSnapshotCommands(dataset: Command, context: CommandContext, files: () => Files): void {
  dataset
    .command("show")
    .description("the card of a snapshot of labels")
    .argument("<folder>")
    .option("--json", "print JSON")
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const card = await readSnapshot(files(), resolve(context.cwd, folder));
      context.stdout(json === true ? `${JSON.stringify(card)}\n` : snapshotText(card));
    });
  dataset
    .command("diff")
    .description("rows that two snapshots do not share")
    .argument("<before>")
    .argument("<after>")
    .option("--json", "print JSON")
    .action(async (before: string, after: string, { json }: { json?: boolean }) => {
      const found = await diffSnapshots(files(), resolve(context.cwd, before), resolve(context.cwd, after));
      const { added, removed, relabelled, moved, same } = found;
      context.stdout(
        json === true
          ? `${JSON.stringify(found)}\n`
          : `${added} rows added, ${removed} removed, ${relabelled} with another label, ${moved} in another set, ${same} the same\n`,
      );
    });
}

/** Folders that hold no functions of the package: its tests and what it copied from others. */
const LEFT_OUT = /(?:^|\/)(?:tests?|_?vendor(?:ed)?|site-packages|__pycache__)\//;
/** Longer files are tables, not programs. */
const LONGEST_FILE = 200_000;

function* sourceFiles(folder: string): Iterable<SourceFile> {
  const paths = globSync("**/*.py", { cwd: folder }).map((path) => path.replaceAll("\\", "/"));
  if (paths.length === 0) throw new FunprmError("BAD_INPUT", `${folder}: holds no Python file`);
  const licence = licenceOf(folder);
  for (const path of paths.sort()) {
    if (LEFT_OUT.test(path)) continue;
    const text = readFileSync(join(folder, path), "utf8");
    if (text.length < LONGEST_FILE) yield { package: basename(folder), path, text, licence };
  }
}

/** As the metadata of an installed package beside the folder says it; null where there is none. */
function licenceOf(folder: string): string | null {
  const parent = dirname(folder);
  for (const found of globSync("*.dist-info/RECORD", { cwd: parent }).sort()) {
    const files = readFileSync(join(parent, found), "utf8");
    if (!files.startsWith(`${basename(folder)}/`) && !files.includes(`\n${basename(folder)}/`)) continue;
    const metadata = readFileSync(join(parent, dirname(found), "METADATA"), "utf8").split("\n\n")[0]!;
    const said = (pattern: string) => new RegExp(`^${pattern}(.+)$`, "m").exec(metadata)?.[1];
    const name = [said("Name: "), said("Version: ")].join(" ");
    const classifier = "Classifier: License :: (?:OSI Approved :: )?";
    const licence = said("License-Expression: ") ?? said("License: ") ?? said(classifier);
    return licence === undefined ? null : `${licence} (${name})`;
  }
  return null;
}

function addFunctionsCommand(
  dataset: Command,
  context: CommandContext,
  open: Parameters<typeof addDatasetCommand>[2],
): void {
  dataset
    .command("functions")
    .description(
      "functions of Python packages as they stand, in other words, and with one bug: a candidate set; nothing is run",
    )
    .requiredOption("--sources <folder...>", "folders of packages; tests and vendored folders are left out")
    .requiredOption("--out <file>", "where the set goes; give it to dataset build beside the others")
    .option("--functions <n>", "functions of each package at most", positiveInteger, 2000)
    .option("--bugs <n>", "mutants of each version", positiveInteger, 1)
    .option("--edits <n>", "equivalent versions of each function at most", positiveInteger, 2)
    .option("--seed <n>", "seed of the draws", positiveInteger, 1)
    .option("--json", "print JSON")
    .action(
      async (options: {
        sources: string[];
        out: string;
        functions: number;
        bugs: number;
        edits: number;
        seed: number;
        json?: boolean;
      }) => {
        const { functions, bugs, edits, seed } = options;
        const folders = options.sources.map((path) => resolve(context.cwd, path));
        const { file, ...made } = await mutateFunctions(
          {
            files: folders.values().flatMap(sourceFiles),
            ...{ out: resolve(context.cwd, options.out), functions, bugs, edits, seed },
          },
          open.files(),
          await open.syntax(),
        );
        context.stdout(
          options.json === true
            ? `${JSON.stringify({ out: file.path, sha256: file.sha256, ...made })}\n`
            : `${file.path}: ${made.functions} functions of ${folders.length} packages, ${made.mutants} mutants, ${made.edits} equivalent edits\n`,
        );
      },
    );
}

function addTextsCommand(
  dataset: Command,
  context: CommandContext,
  open: Parameters<typeof addDatasetCommand>[2],
): void {
  dataset
    .command("texts")
    .description(
      "candidates of both classes with a sentence in a docstring or string, verdicts unchanged: a candidate set",
    )
    .requiredOption("--sets <file...>", "candidate sets (JSONL, .gz or not)")
    .requiredOption("--texts <file>", "one sentence a line")
    .requiredOption("--out <file>", "where the set goes; give it to dataset build beside the others")
    .option("--share <x>", "share of the candidates", Number, 0.2)
    .option("--seed <n>", "seed of the draws", positiveInteger, 1)
    .option("--json", "print JSON")
    .action(
      async (options: { sets: string[]; texts: string; out: string; share: number; seed: number; json?: boolean }) => {
        if (!(options.share > 0 && options.share <= 1))
          throw new FunprmError("BAD_USAGE", "--share: a number above 0, at most 1");
        const files = open.files();
        const texts = await files.text(resolve(context.cwd, options.texts));
        const { file, passed, failed } = await appendTexts(
          {
            ...{ out: resolve(context.cwd, options.out), share: options.share, seed: options.seed },
            sets: options.sets.map((path) => resolve(context.cwd, path)),
            texts: texts.split("\n").filter((line) => line.trim() !== ""),
          },
          files,
          await open.syntax(),
        );
        context.stdout(
          options.json === true
            ? `${JSON.stringify({ out: file.path, sha256: file.sha256, passed, failed })}\n`
            : `${file.path}: ${passed} passing and ${failed} failing candidates with a text\n`,
        );
      },
    );
}

function addMutateCommand(
  dataset: Command,
  context: CommandContext,
  open: Parameters<typeof addDatasetCommand>[2],
): void {
  dataset
    .command("mutate")
    .description(
      "bugs injected into one function of passing programs, judged: a candidate set with the truth of every step",
    )
    .requiredOption("--sets <file...>", "candidate sets with tests (JSONL, .gz or not)")
    .requiredOption("--out <folder>", "where mutations.jsonl.gz goes; a second start takes over what is there")
    .option("--functions <n>", "fewest functions of a program", positiveInteger, 2)
    .option("--bases <n>", "passing programs of each problem", positiveInteger, 8)
    .option("--per-function <n>", "mutants of each function", positiveInteger, 2)
    .option("--seed <n>", "seed of the draws", positiveInteger, 1)
    .option("--limit <n>", "problems of each set", positiveInteger)
    .option("--json", "print JSON")
    .action(async (options: MutateCommand) => {
      const { functions, bases, perFunction, seed } = options;
      const files = open.files();
      const syntax = await open.syntax();
      const judge = await open.judge();
      const out = resolve(context.cwd, options.out);
      const sets: Record<string, MutateSummary> = {};
      const rows: unknown[] = [];
      try {
        for (const path of options.sets) {
          const name = basename(path).replace(/\.jsonl(\.gz)?$/, "");
          const mutated = await mutatePrograms(
            { input: resolve(context.cwd, path), out: join(out, name) },
            judge,
            syntax,
            files,
            {
              functions,
              bases,
              perFunction,
              seed,
              limit: options.limit ?? null,
              slots: cpus().length,
              onProgress: (problems) => {
                if (context.isTerminal) context.stderr(`\r${name}: ${problems} problems        `);
              },
            },
          );
          sets[name] = mutated.summary;
          for (const row of mutated.rows) rows.push(row);
        }
      } finally {
        judge.dispose();
      }
      const file = await files.writeRows(join(out, "mutations.jsonl.gz"), rows);
      context.stdout(
        options.json === true
          ? `${JSON.stringify({ out: file.path, sha256: file.sha256, sets })}\n`
          : mutationLines(sets),
      );
    });
}

function mutationLines(sets: Record<string, MutateSummary>): string {
  return Object.entries(sets)
    .map(([name, one]) => {
      const sizes = Object.entries(one.byFunctions).map(([size, count]) => `${size}: ${count}`);
      return `${name}: ${one.killed} of ${one.mutants} mutants fail, of ${one.bases} programs of ${one.withBases} problems; by functions ${sizes.join(", ") || "none"}\n`;
    })
    .join("");
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("a whole number from 1 up");
  return value;
}
