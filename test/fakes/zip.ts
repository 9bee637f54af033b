/** Zip files as CI uploads them, and as it must not: byte by byte, so that every field can lie. */
import { crc32, deflateRawSync } from "node:zlib";

export type ZipEntry = {
  name: string;
  text: string | Uint8Array;
  /** Size that both headers claim in place of the true one. */
  claims?: number;
  /** Points at the data of an entry before it, by index, as overlapping bombs do. */
  dataOf?: number;
};

export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  const offsets: number[] = [];
  let at = 0;
  for (const [index, entry] of entries.entries()) {
    const same = entry.dataOf === undefined ? entry : entries[entry.dataOf]!;
    const data = Buffer.from(same.text as string);
    const packed = deflateRawSync(data, { level: 9 });
    const name = Buffer.from(entry.name);
    const sizes = (header: Buffer, from: number) => {
      header.writeUInt32LE(crc32(data), from);
      header.writeUInt32LE(packed.length, from + 4);
      header.writeUInt32LE(entry.claims ?? data.length, from + 8);
      header.writeUInt16LE(name.length, from + 12);
    };
    offsets[index] = entry.dataOf === undefined ? at : offsets[entry.dataOf]!;
    if (entry.dataOf === undefined) {
      const local = Buffer.alloc(30);
      local.writeUInt32LE(0x04034b50, 0);
      local.writeUInt16LE(20, 4);
      local.writeUInt16LE(8, 8);
      sizes(local, 14);
      parts.push(local, name, packed);
      at += local.length + name.length + packed.length;
    }
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50, 0);
    header.writeUInt16LE(20, 4);
    header.writeUInt16LE(20, 6);
    header.writeUInt16LE(8, 10);
    sizes(header, 16);
    header.writeUInt32LE(offsets[index]!, 42);
    central.push(header, name);
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, directory, end]);
}

/** A report of pytest: each test with how it ended, and the text of its failure. */
export function junitOf(
  tests: readonly { name: string; fails?: string; also?: string }[],
  classname = "tests.test_a",
): string {
  const cases = tests.map(({ name, fails, also = "" }) => {
    const failure = fails === undefined ? "" : `<failure message="no"><![CDATA[${fails}]]></failure>`;
    return `<testcase classname="${classname}" name="${name}" time="0.01">${failure}${also}</testcase>`;
  });
  return `<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">${cases.join("")}</testsuite></testsuites>`;
}
