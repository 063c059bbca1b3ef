import { isUtf8 } from 'node:buffer';
import { createReadStream, type Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { printable } from '../job/problem.ts';
import { MAX_FILE_BYTES } from '../job/yaml-text.ts';
import { CliError } from './errors.ts';

/** One file's text, and what positions call it. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

export interface SourceOptions {
  /** Whether folders inside folders are read as well. */
  readonly recursive?: boolean;
  /** What `-` reads; the process's standard input unless a test says otherwise. */
  readonly stdin?: Readable;
}

/** Why sources cannot be read: `message` has one sentence a line, one for each source. */
export class SourceError extends CliError {
  readonly sentences: readonly string[];

  constructor(sentences: readonly string[]) {
    // A file can have any name, also one that a terminal would act on.
    const shown = sentences.map(printable);
    super(shown.join('\n'));
    this.name = 'SourceError';
    this.sentences = shown;
  }
}

const MAX_FILES = 10_000;
const STDIN = '-';
const STDIN_NAME = 'stdin';
const EXTENSIONS = /\.(yaml|yml|json)$/;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'there is no such file or folder: a part of the path is a file',
  EACCES: 'you may not read it; check its permissions',
  EPERM: 'you may not read it; check its permissions',
  ELOOP: 'its symbolic links lead round in a circle',
  EISDIR: 'it is a folder, and a file was expected',
  EMFILE: 'too many files are open; raise the limit (ulimit -n)',
  ENAMETOOLONG: 'the path is too long',
};

/** The sentence for an error of the file system; anything else is a mistake of ours and goes on. */
export function readFailure(name: string, error: unknown): SourceError {
  if (error instanceof SourceError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : null;
  if (code === null) throw error;
  return new SourceError([`cannot read ${name}: ${REASONS[code] ?? `the system says ${code}`}`]);
}

/** Line and offset of the first byte that is not UTF-8. A line feed is never part of another character. */
function firstBadByte(bytes: Buffer): { line: number; offset: number } {
  let start = 0;
  for (let line = 1; ; line += 1) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    if (!isUtf8(bytes.subarray(start, end)) || end === bytes.length) {
      // What the lossy decoder gives back the same is right up to the first difference.
      const again = Buffer.from(bytes.toString('utf8', start, end));
      let index = 0;
      while (start + index < end && again[index] === bytes[start + index]) index += 1;
      return { line, offset: start + index };
    }
    start = end;
  }
}

function decode(bytes: Buffer, name: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (isUtf16) throw new SourceError([`cannot read ${name}: it is in UTF-16; save it as UTF-8`]);
  const { line, offset } = firstBadByte(bytes);
  throw new SourceError([`cannot read ${name}: byte ${offset} (line ${line}) is not UTF-8; save it as UTF-8`]);
}

/** Reads to the end, or to the limit: what is longer, such as /dev/zero, is not read on. */
async function readStream(stream: Readable, name: string): Promise<Source> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > MAX_FILE_BYTES) throw new SourceError([`cannot read ${name}: it is larger than 8 MiB; split it`]);
    chunks.push(bytes);
  }
  return { name, text: decode(Buffer.concat(chunks), name) };
}

const byName = (a: Dirent, b: Dirent): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** Files of a folder by name, then those of its folders. A link to a file is followed, one to a folder is not. */
async function filesIn(folder: string, recursive: boolean): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).sort(byName);
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (!EXTENSIONS.test(entry.name) || entry.isDirectory()) continue;
    // A named pipe in a folder would make us wait for ever.
    if (entry.isFile() || (entry.isSymbolicLink() && (await stat(path)).isFile())) files.push(path);
  }
  if (!recursive) return files;
  for (const entry of entries.filter((e) => e.isDirectory())) {
    for (const file of await filesIn(join(folder, entry.name), true)) files.push(file);
    if (files.length > MAX_FILES) throw new SourceError([`${folder} holds more than ${MAX_FILES} files; name fewer`]);
  }
  return files;
}

/** The files that a path stands for: itself, or those of the folder that it is. */
async function expand(path: string, recursive: boolean): Promise<readonly string[]> {
  if (path === STDIN || !(await stat(path)).isDirectory()) return [path];
  const files = await filesIn(path, recursive);
  if (files.length > 0) return files;
  const hint = recursive ? '' : ' (-R also looks into the folders inside it)';
  throw new SourceError([`there is no .yaml, .yml or .json file in the folder ${path}${hint}`]);
}

/**
 * Reads files, folders (*.yaml, *.yml and *.json by name, as kubectl does) and `-`, the standard input, in the order
 * given. A file that is named twice, also through a folder or a link, is read once.
 * @throws SourceError with a sentence for everything that cannot be read
 */
export async function readSources(paths: readonly string[], options: SourceOptions = {}): Promise<Source[]> {
  const sources: Source[] = [];
  const failures: string[] = [];
  const seen = new Set<string>();

  async function attempt<T>(name: string, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      failures.push(...readFailure(name, error).sentences);
      return null;
    }
  }

  async function readOne(path: string): Promise<Source | null> {
    const identity = path === STDIN ? STDIN : await realpath(path);
    if (seen.has(identity)) return null;
    seen.add(identity);
    return path === STDIN
      ? readStream(options.stdin ?? process.stdin, STDIN_NAME)
      : readStream(createReadStream(path), path);
  }

  for (const path of paths) {
    for (const file of (await attempt(path, () => expand(path, options.recursive ?? false))) ?? []) {
      const source = await attempt(file === STDIN ? STDIN_NAME : file, () => readOne(file));
      if (source !== null) sources.push(source);
    }
  }
  if (failures.length > 0) throw new SourceError(failures);
  return sources;
}
