/** A database that cannot be used: one line with the cure, the file left as it was. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { solveJob } from "../../src/domain/job-payloads.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-db-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const open = (path = join(folder, "app.db"), busyMilliseconds = 50) =>
  openDatabase({ path, now: () => new Date(), random: (count) => randomBytes(count), busyMilliseconds });

describe("opening the database", () => {
  it("refuses one that a newer program wrote, and changes nothing in it", async () => {
    await (await open()).close();
    const path = join(folder, "app.db");
    const raw = new DatabaseSync(path);
    raw.exec("INSERT INTO migrations (number, name, applied_at) VALUES (9999, '9999-later.sql', 'x')");
    raw.close();
    const before = readFileSync(path);
    await expect(open()).rejects.toMatchObject({
      code: "DATABASE_UNUSABLE",
      message: expect.stringMatching(/newer FunPRM \(schema 9999, .*upgrade FunPRM/),
    });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it("waits for a lock and then says who holds things up; a moment later it opens", async () => {
    await (await open()).close();
    const raw = new DatabaseSync(join(folder, "app.db"));
    raw.exec("BEGIN EXCLUSIVE");
    await expect(open()).rejects.toMatchObject({
      code: "DATABASE_BUSY",
      message: expect.stringMatching(/locked by another process/),
    });
    raw.exec("ROLLBACK");
    raw.close();
    await (await open()).close();
  });

  it("refuses a file that is no database, and a path whose folder is not there", async () => {
    writeFileSync(join(folder, "app.db"), "hello ".repeat(1000));
    await expect(open()).rejects.toMatchObject({
      code: "DATABASE_UNUSABLE",
      message: expect.stringMatching(/not a SQLite database/),
    });
    await expect(open(join(folder, "none", "app.db"))).rejects.toMatchObject({
      code: "DATABASE_UNUSABLE",
      message: expect.stringMatching(/folder does not exist; create it/),
    });
  });

  it("learns of jobs from before it kept their repository whose they are", async () => {
    const database = await open();
    const start = { installationId: 5, owner: "o", repo: "r", issueNumber: 3 };
    const trigger = { kind: "label" as const, label: "funprm:fix" };
    for (const repositoryId of [12, 1, 2])
      await database.runs.openRun({ ...start, repositoryId, trigger, startedBy: "ada" });
    for (const repositoryId of [12, 1, 2])
      await database.jobs.accept(null, solveJob({ ...start, repositoryId, trigger, startedBy: "ada", options: {} }));
    await database.close();
    const raw = new DatabaseSync(join(folder, "app.db"));
    raw.exec("DROP INDEX jobs_installation; ALTER TABLE jobs DROP COLUMN repository_id");
    raw.exec("DELETE FROM migrations WHERE number = 6");
    raw.close();
    const again = await open();
    await again.runs.deleteInstallation(5, 1);
    expect((await again.jobs.list()).map(({ lane }) => lane)).toEqual(["issue:2:3", "issue:12:3"]);
    await again.close();
  });

  it("refuses one that is read-only with the cure", async () => {
    const path = join(folder, "app.db");
    await (await open()).close();
    chmodSync(path, 0o444);
    chmodSync(folder, 0o555);
    // Permission bits do not hold root back.
    const root = process.geteuid!() === 0;
    if (root) process.seteuid!(65_534);
    try {
      await expect(open()).rejects.toMatchObject({
        code: "DATABASE_UNUSABLE",
        message: expect.stringMatching(/read-only; make the file and its folder writable/),
      });
    } finally {
      if (root) process.seteuid!(0);
      chmodSync(folder, 0o755);
    }
  });
});
