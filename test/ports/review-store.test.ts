import { describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import type { Finding, ReviewedRow } from "../../src/domain/finding.ts";
import type { ScoredRow } from "../../src/domain/model.ts";
import type { ReviewStore } from "../../src/ports.ts";

const row = (more: Partial<ReviewedRow> = {}): ReviewedRow => ({
  repositoryId: 5_000_000_001,
  installationId: 7,
  pullRequest: 3,
  head: "a".repeat(40),
  function: "src/a.py#C.f",
  bodyHash: "9f",
  language: "python",
  modelVersion: "m@1",
  value: 0.4,
  attribution: 0.8,
  baseAttribution: null,
  finding: false,
  sketch: "",
  reviewedAt: "2026-01-01T00:00:00.000Z",
  ...more,
});
const finding = (more: Partial<Finding> = {}): Omit<Finding, "createdAt" | "updatedAt"> => ({
  repositoryId: 5_000_000_001,
  installationId: 7,
  pullRequest: 3,
  path: "src/a.py",
  name: "C.f",
  bodyHash: "9f",
  modelVersion: "m@1",
  state: "posted",
  head: "a".repeat(40),
  attribution: 0.8,
  estimate: null,
  inline: true,
  commentId: null,
  threadId: null,
  verdict: null,
  judgedAt: null,
  by: null,
  reason: null,
  ...more,
});
const place = { repositoryId: 5_000_000_001, installationId: 7, pullRequest: 3 };
const scored = (id: string): ScoredRow => ({
  id,
  rewards: [0.25, null],
  reasons: [null, "too_long"],
  tokens: [3, 900],
  truncatedTokens: 0,
  windowed: false,
});

/** What every `ReviewStore` promises (src/ports.ts). */
function reviewStorePromises(
  open: (now: () => Date) => Promise<{ reviews: ReviewStore; close(): Promise<void> }>,
): void {
  let time = Date.UTC(2026, 0, 1);
  const opened = () => open(() => new Date(time));

  it("keeps one row a head, function, body and model; the last word counts", async () => {
    const { reviews, close } = await opened();
    await reviews.saveReviewed([row(), row({ head: "b" }), row({ bodyHash: "other" }), row({ modelVersion: "m@2" })]);
    await reviews.saveReviewed([row({ value: 0.5, finding: true, baseAttribution: 1.2 })]);
    const rows = await reviews.reviewed({ repositoryId: place.repositoryId, pullRequest: 3 });
    expect(rows).toHaveLength(4);
    expect(rows).toContainEqual(row({ value: 0.5, finding: true, baseAttribution: 1.2 }));
    expect(await reviews.reviewed({ repositoryId: 1 })).toEqual([]);
    expect(await reviews.reviewedKeys()).toEqual(
      ["m@1", "m@2"].map((modelVersion) => ({ repositoryId: place.repositoryId, language: "python", modelVersion })),
    );
    await reviews.saveReviewed([row({ pullRequest: 8, reviewedAt: "2026-02-01T00:00:00.000Z" })]);
    const newest = await reviews.reviewed({ repositoryId: place.repositoryId, newest: 2 });
    expect(newest.map((one) => one.pullRequest)).toEqual([3, 8]);
    await close();
  });

  it("keeps one finding a function, body and model, when it was first and last written, whatever its text holds", async () => {
    const { reviews, close } = await opened();
    await reviews.saveFinding(finding({ name: "naïve'); DROP TABLE findings;--" }));
    await reviews.saveFinding(finding());
    time += 1_000;
    await reviews.saveFinding(
      finding({ state: "wrong", by: "ada", reason: "tested", commentId: 2 ** 40, threadId: "PRRT_1" }),
    );
    const [first, second] = await reviews.findings({ repositoryId: place.repositoryId, pullRequest: 3 });
    const mended = [first, second].find((one) => one!.name === "C.f")!;
    expect(mended).toMatchObject({
      state: "wrong",
      by: "ada",
      reason: "tested",
      commentId: 2 ** 40,
      threadId: "PRRT_1",
    });
    expect(Date.parse(mended.updatedAt) - Date.parse(mended.createdAt)).toBe(1_000);
    expect(await reviews.findings({ repositoryId: place.repositoryId, pullRequest: 4 })).toEqual([]);
    await close();
  });

  it("forgets a row by the installation that wrote it last: a repository comes back under a new one", async () => {
    const { reviews, close } = await opened();
    for (const installationId of [7, 8]) {
      await reviews.saveReviewed([row({ installationId })]);
      await reviews.saveFinding(finding({ installationId }));
    }
    const left = async () => [
      (await reviews.reviewed({ repositoryId: place.repositoryId })).length,
      (await reviews.findings({ repositoryId: place.repositoryId })).length,
    ];
    await reviews.deleteInstallation(7);
    expect(await left()).toEqual([1, 1]);
    await reviews.deleteInstallation(8);
    expect(await left()).toEqual([0, 0]);
    await close();
  });

  it("knows pauses and rounds of a pull request, none at first", async () => {
    const { reviews, close } = await opened();
    expect(await reviews.pull(place)).toEqual({ ...place, pausedBy: null, rounds: [] });
    await reviews.savePull({ ...place, pausedBy: "ada", rounds: ["a", "b"] });
    expect(await reviews.pull(place)).toEqual({ ...place, pausedBy: "ada", rounds: ["a", "b"] });
    await close();
  });

  it("gives rewards back as they were, only of this model and installation, however many are asked for", async () => {
    const { reviews, close } = await opened();
    const keys = Array.from({ length: 1_201 }, (_, k) => `key ${k}`);
    await reviews.saveRewards(7, "sha", new Map(keys.map((key) => [key, scored(key)])));
    const found = await reviews.rewards(7, "sha", [...keys, "unknown"]);
    expect(found.size).toBe(1_201);
    expect(found.get("key 1200")).toEqual(scored("key 1200"));
    expect([(await reviews.rewards(8, "sha", keys)).size, (await reviews.rewards(7, "other", keys)).size]).toEqual([
      0, 0,
    ]);
    expect((await reviews.rewards(7, "sha", [])).size).toBe(0);
    await close();
  });

  it("counts a calibration's versions up, and not for one that says the same", async () => {
    const { reviews, close } = await opened();
    const key = { repositoryId: 5, language: "python" as const, modelVersion: "m@1" };
    const fitted = {
      ...key,
      state: "repository" as const,
      labels: { repository: 100, others: 0 },
      calibrator: { kind: "platt" as const, slope: 1, intercept: 0, labels: 100 },
      buckets: [],
      brier: 0.2,
      ece: 0.01,
      points: [],
    };
    expect(await reviews.calibration(key)).toBeNull();
    expect((await reviews.saveCalibration(fitted)).version).toBe(1);
    expect((await reviews.saveCalibration(fitted)).version).toBe(1);
    expect((await reviews.saveCalibration({ ...fitted, ece: 0.02 })).version).toBe(2);
    expect(await reviews.calibration(key)).toMatchObject({ ...fitted, ece: 0.02, version: 2 });
    expect(await reviews.calibration({ ...key, modelVersion: "m@2" })).toBeNull();
    await close();
  });

  it("forgets a calibration with its installation, though all that was reviewed is older than the retention", async () => {
    const { reviews, close } = await opened();
    const fitted = {
      ...{ language: "python" as const, modelVersion: "m@1", state: "repository" as const, points: [], buckets: [] },
      ...{ labels: { repository: 100, others: 0 }, brier: 0.2, ece: 0.01 },
      calibrator: { kind: "platt" as const, slope: 1, intercept: 0, labels: 100 },
    };
    const saved = [place.repositoryId, 6, 0].map((repositoryId) => ({ ...fitted, repositoryId }));
    await reviews.saveReviewed([row(), row({ repositoryId: 6, installationId: 8 })]);
    for (const one of saved) await reviews.saveCalibration(one);
    await reviews.expireBefore(new Date(Date.UTC(2027, 0, 1)));
    await reviews.deleteInstallation(7);
    const left = await Promise.all(saved.map((one) => reviews.calibration(one)));
    expect(left.map((one) => one?.repositoryId ?? null)).toEqual([null, 6, 0]);
    await close();
  });

  it("forgets an installation, and what is older than the retention, and nothing else", async () => {
    const { reviews, close } = await opened();
    const other = { repositoryId: 6, installationId: 8 };
    await reviews.saveReviewed([row(), row(other), row({ pullRequest: 9, reviewedAt: "2025-01-01T00:00:00.000Z" })]);
    for (const at of [{}, other]) {
      await reviews.saveFinding(finding(at));
      await reviews.savePull({ ...place, ...at, pausedBy: "x", rounds: [] });
    }
    await reviews.saveRewards(7, "sha", new Map([["k", scored("k")]]));
    await reviews.saveRewards(8, "sha", new Map([["k", scored("k")]]));
    expect(await reviews.expireBefore(new Date(Date.UTC(2025, 6, 1)))).toBe(1);
    const left = async () => [
      ...(await reviews.reviewed({ repositoryId: place.repositoryId })),
      ...(await reviews.reviewed({ repositoryId: 6 })),
    ];
    expect(await left()).toHaveLength(2);
    await reviews.deleteInstallation(7);
    expect((await left()).map((one) => one.installationId)).toEqual([8]);
    expect(await reviews.findings({ repositoryId: place.repositoryId })).toEqual([]);
    expect(await reviews.findings({ repositoryId: 6 })).toHaveLength(1);
    expect([(await reviews.rewards(7, "sha", ["k"])).size, (await reviews.rewards(8, "sha", ["k"])).size]).toEqual([
      0, 1,
    ]);
    expect((await reviews.pull(place)).pausedBy).toBeNull();
    await close();
  });
}

describe("ReviewStore on SQLite", () =>
  reviewStorePromises((now) => openDatabase({ path: ":memory:", now, random: (bytes) => new Uint8Array(bytes) })));
