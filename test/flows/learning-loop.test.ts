/** From facts of pull requests to the version that scores, with a trainer that only counts: attacked by poison and by repetition. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/adapters/db/open-database.ts";
import { createFiles } from "../../src/adapters/files/files.ts";
import type { TrainingRow } from "../../src/domain/dataset.ts";
import { sha256 } from "../../src/domain/ids.ts";
import type { KnownFunction } from "../../src/evaluation/known-functions.ts";
import { FAMILY } from "../../src/evaluation/known-functions.ts";
import {
  flipped,
  ORGANISATION,
  placeOf,
  type SimulatedPull,
  simulateOrganisation,
} from "../../src/evaluation/organisation.ts";
import { buildSnapshot } from "../../src/flows/build-snapshot.ts";
import { labelDistances } from "../../src/flows/measure-learning.ts";
import { activeVersion, type TrainPorts, trainModel } from "../../src/flows/train-model.ts";
import type { RewardModel, TuneRequest } from "../../src/ports.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Half of them have a place for the family; the mark of an error is its own word. */
const KNOWN: KnownFunction[] = Array.from({ length: 240 }, (_, index) => {
  const text = (body: string) => `def f${index}(values):\n    return ${body}`;
  const version = (kind: string, body: string) => ({ kind, text: text(body), source: text(body) });
  return {
    path: `m${index % 7}.py`,
    name: `f${index}`,
    text: text("len(values)"),
    source: text("len(values)"),
    purpose: "counts",
    family: index % 2 === 0 ? [version(FAMILY, "len(values) - 1")] : [],
    others: [version("word", "min(values)"), version("return", "None")],
  };
});

/** What counts: the share of right among labelled rows with and without the family's mark. */
type Learnt = { withMark: number; without: number };
let tuned: TuneRequest[];
let learnt: Map<string, Learnt>;
let database: Database;
let folder: string;
let lacks: string | null;
let refits: number;

beforeEach(async () => {
  tuned = [];
  learnt = new Map();
  lacks = null;
  refits = 0;
  folder = mkdtempSync(join(tmpdir(), "funprm-loop-"));
  folders.push(folder);
  let draws = 0;
  database = await openDatabase({
    path: ":memory:",
    now: () => new Date(Date.UTC(2026, 5, 1)),
    random: (bytes) => new Uint8Array(bytes).map(() => (draws++ * 37) % 256),
  });
});

const hasMark = (text: string) => text.includes("- 1");

/** The bundled model knows nothing of the family: its rewards are noise. */
function modelOf(bundle: string | null): RewardModel {
  const known = bundle === null ? null : learnt.get(bundle)!;
  const noise = (text: string) => Number.parseInt(sha256(text).slice(0, 4), 16) / 65_536;
  const reward = (text: string) =>
    known === null
      ? 0.3 + 0.4 * noise(text)
      : 0.9 * (hasMark(text) ? known.withMark : known.without) + 0.1 * noise(text);
  return {
    info: {
      name: "counting",
      version: bundle === null ? "1.0.0" : "of a bundle",
      sha256: sha256(bundle ?? "bundled"),
      renderVersion: "v1",
      attention: "causal",
      maxTokens: 1024,
    },
    score: async (rows) =>
      rows.map((row) => ({
        id: row.id,
        rewards: row.completions.map(reward),
        reasons: row.completions.map(() => null),
        tokens: row.completions.map(() => 1),
        truncatedTokens: 0,
        windowed: false,
      })),
    dispose: async () => {},
  };
}

function ports(): TrainPorts {
  const files = createFiles();
  const quiet = () => {};
  return {
    registry: database.models,
    learning: database.learning,
    files,
    embedded: "bundled",
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    clock: { now: () => new Date(Date.UTC(2026, 5, 1)), sleep: async () => {} },
    cpuSeconds: () => 0,
    refit: async () => {
      refits += 1;
      return 0;
    },
    open: async ({ folder: bundle }) => modelOf(bundle),
    tuner: {
      missing: async () => lacks,
      tune: async (request) => {
        tuned.push(request);
        const counts = { mark: [0, 0], plain: [0, 0] };
        for await (const row of files.trainingRows(`${request.data}/training.jsonl.gz`)) {
          const count = hasMark(row.completions[0]!) ? counts.mark : counts.plain;
          count[0]! += row.labels[0]!;
          count[1]! += 1;
        }
        const share = ([right, all]: number[]) => (right! + 1) / (all! + 2);
        learnt.set(request.bundle, { withMark: share(counts.mark), without: share(counts.plain) });
        mkdirSync(request.bundle, { recursive: true });
        const facts = {
          version: request.version,
          modelSha256: sha256(request.bundle),
          renderVersion: "v1",
          maxTokens: 1024,
        };
        writeFileSync(join(request.bundle, "manifest.json"), JSON.stringify(facts));
      },
    },
  };
}

async function fill(pulls: readonly SimulatedPull[]) {
  for (const pull of pulls) {
    const place = placeOf(pull);
    await database.learning.append(place, pull.events);
    await database.learning.append({ ...place, pullRequest: null }, pull.repositoryEvents);
    await database.learning.saveTexts(place, pull.texts);
  }
}

async function snapshot(end: number, without: string[] = []) {
  const { learning, files, clock } = ports();
  const at = { ...clock, now: () => new Date(end) };
  return await buildSnapshot(
    { learning, files, clock: at },
    { out: folder, perActor: 200, without, repositoryId: null },
  );
}

const settings = { ...ORGANISATION, pulls: 300, solved: 0.6, candidates: 3, people: 3 };
const train = (data: string, by: string | null = "gate") =>
  trainModel(ports(), { snapshot: data, learning: folder, epochs: 1, seed: 0, by, onLine: () => {} });

describe("the learning loop", () => {
  it("turns facts into a challenger that knows the family, promotes it with numbers, and scores with it", async () => {
    const organisation = simulateOrganisation(KNOWN, settings);
    await fill(organisation.pulls);
    const result = await train((await snapshot(organisation.end)).folder);
    expect(result.decision.checks.filter((check) => !check.ok)).toEqual([]);
    expect(result.active).toBe(true);
    expect((await activeVersion(ports())).sha256).toBe(result.version.sha256);
    expect((await database.models.switches())[0]).toMatchObject({
      by: "gate",
      reason: expect.stringMatching(/AUC 0\.\d+ → 0\.\d+/),
    });
    expect(result.version).toMatchObject({ version: "1.0.0+1", base: sha256("bundled") });
  });

  it("trains nothing without a trainer and says what is missing; the labels stay", async () => {
    const organisation = simulateOrganisation(KNOWN, { ...settings, pulls: 60 });
    await fill(organisation.pulls);
    lacks = "gpu-worker is not installed";
    const before = await snapshot(organisation.end);
    await expect(train(before.folder)).rejects.toThrow("labels are kept, and no model was trained: gpu-worker is not");
    expect((await snapshot(organisation.end)).sha256).toBe(before.sha256);
    expect(tuned).toEqual([]);
    expect(refits).toBe(1);
  });

  it("asks for the same run again when the same snapshot is trained on again, and knows one challenger", async () => {
    const organisation = simulateOrganisation(KNOWN, settings);
    await fill(organisation.pulls);
    const { folder: data } = await snapshot(organisation.end);
    const [first, again] = [await train(data, null), await train(data, null)];
    expect(tuned[1]).toEqual(tuned[0]);
    expect(again.version.sha256).toBe(first.version.sha256);
    expect(first.active).toBe(false);
    expect((await database.models.versions()).map((one) => one.version).sort()).toEqual(["1.0.0", "1.0.0+1"]);
  });

  it("outweighs or refuses a batch in which one person turned every outcome round, and is as before without them", async () => {
    const honest = simulateOrganisation(KNOWN, settings);
    const liar = "person-2";
    const share = honest.pulls.filter((pull) => pull.author === liar).length / honest.pulls.length;
    expect(share).toBeGreaterThan(0.25);
    await fill(honest.pulls.map((pull) => flipped(pull, liar)));
    const poisoned = await snapshot(honest.end);
    const result = await train(poisoned.folder);
    const [withMark, without] = Object.values(learnt.get(result.version.folder!)!);
    // Refused, or the family is still what it learnt.
    if (result.active) expect(without! - withMark!).toBeGreaterThan(0.1);
    else expect(result.decision.verdict).toBe("refused");

    const excluded = await snapshot(honest.end, [liar]);
    await database.learning.removeActor(liar);
    const removed = await snapshot(honest.end);
    expect(removed.sha256).toBe(excluded.sha256);
    await database.close();
    database = await openDatabase({
      path: ":memory:",
      now: () => new Date(),
      random: (bytes) => new Uint8Array(bytes),
    });
    await fill(
      honest.pulls
        .filter((pull) => pull.author !== liar)
        .map((pull) => ({ ...pull, repositoryEvents: pull.repositoryEvents.filter((event) => event.actor !== liar) })),
    );
    expect((await snapshot(honest.end)).sha256).toBe(removed.sha256);
  });

  it("refuses a challenger that was trained on labels turned round by everyone", async () => {
    const honest = simulateOrganisation(KNOWN, settings);
    await fill(honest.pulls);
    const clean = await snapshot(honest.end);
    const before = await train(clean.folder);
    expect(before.active).toBe(true);
    // A trainer whose model prefers the error, on the same frozen validation set.
    const upside = { ...ports(), open: async ({ folder: bundle }: { folder: string | null }) => modelOf(bundle) };
    const tuner = upside.tuner.tune;
    upside.tuner = {
      ...upside.tuner,
      tune: async (request, onLine, signal) => {
        await tuner(request, onLine, signal);
        const { withMark, without } = learnt.get(request.bundle)!;
        learnt.set(request.bundle, { withMark: without, without: withMark });
      },
    };
    const after = await trainModel(upside, {
      snapshot: clean.folder,
      learning: folder,
      epochs: 2,
      seed: 0,
      by: "gate",
      onLine: () => {},
    });
    expect(after.decision.verdict).toBe("refused");
    expect((await activeVersion(ports())).sha256).toBe(before.version.sha256);
  });
});

describe("how far noisy labels are from the truth", () => {
  it("is least where a label says how likely right is, by both proper measures and not by the absolute one", async () => {
    const [text, wrong] = ["def f():\n    return 1", "def f():\n    return 2"];
    const truth = new Map([
      [sha256(text), { right: 1 as const, kind: "right", function: "f" }],
      [sha256(wrong), { right: 0 as const, kind: FAMILY, function: "f" }],
    ]);
    // Ten labels say right, one of them is wrong; a label of an unknown text does not count.
    const rows = Array.from({ length: 11 }, (_, index) => ({
      id: `row-${index}`,
      problem: `problem-${index}`,
      completions: [index === 10 ? "unknown" : index === 0 ? wrong : text],
    }));
    const of = async (corrected: number) => {
      const table = rows.map(({ id }) => JSON.stringify({ id, step: 0, raw: 1, corrected })).join("\n");
      const files = {
        text: async () => `${table}\n`,
        trainingRows: async function* () {
          yield* rows as unknown as TrainingRow[];
        },
      };
      return (await labelDistances(files, "run", "snapshot", truth))!;
    };
    const [calibrated, sure] = [await of(0.9), await of(0.99)];
    expect(calibrated.squared).toMatchObject({ champion: 0.1, count: 10 });
    expect(calibrated.squared.challenger).toBeCloseTo(0.09);
    for (const name of ["squared", "logLoss"] as const)
      expect(calibrated[name].challenger).toBeLessThan(sure[name].challenger);
    expect(calibrated.absolute.challenger).toBeGreaterThan(sure.absolute.challenger);
  });

  it("is nothing where no label is noisy", async () => {
    const files = { text: async () => "", trainingRows: async function* () {} };
    expect(await labelDistances(files, "run", "snapshot", new Map())).toBeNull();
  });
});
