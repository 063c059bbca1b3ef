import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { until } from '../../test/support/until.ts';

/** What lives on an operator's heap after a full collection, by a snapshot of it. The rest of its memory is Node's own. */

export const HEAP_KINDS = ['strings', 'objects', 'arrays and tables', 'code and the rest'] as const;
export type HeapKind = (typeof HEAP_KINDS)[number];
/** Bytes. */
export type Heap = Readonly<Record<HeapKind, number>>;

const SNAPSHOT_LIMIT_MS = 120_000;

const KINDS: Readonly<Record<string, HeapKind>> = {
  string: 'strings',
  'concatenated string': 'strings',
  'sliced string': 'strings',
  object: 'objects',
  number: 'objects',
  array: 'arrays and tables',
};

/** As Node writes it; a node of the heap is as many numbers in a row as it has fields. */
const snapshotSchema = z.looseObject({
  snapshot: z.looseObject({
    meta: z.looseObject({
      node_fields: z.array(z.string()),
      // Of each field: the words that its number stands for, or what else it is.
      node_types: z.array(z.union([z.string(), z.array(z.string())])),
    }),
  }),
  // Some millions: looked at one by one below, where they are used.
  nodes: z.custom<readonly number[]>(Array.isArray),
});

/** For NODE_OPTIONS of a process that {@link heapOf} is to look at. @param folder its snapshots go there */
export const snapshotOptions = (folder: string): string => `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}`;

/** Takes a snapshot of a process that was started with {@link snapshotOptions}. Stops it for some seconds. */
export async function heapOf(pid: number, folder: string): Promise<Heap> {
  process.kill(pid, 'SIGUSR2');
  let size = 0;
  const { value: path } = await until('the heap was written', SNAPSHOT_LIMIT_MS, async () => {
    const name = (await readdir(folder)).find((file) => file.split('.').includes(String(pid)));
    if (name === undefined) return null;
    const found = join(folder, name);
    const before = size;
    size = (await stat(found)).size;
    return size > 0 && size === before && (await endOf(found, size)) === END ? found : null;
  });
  return heapIn(await readFile(path, 'utf8'));
}

/** How a snapshot ends that was written to its end. */
const END = ']}';

async function endOf(path: string, size: number): Promise<string> {
  await using file = await open(path);
  const { buffer } = await file.read({ buffer: Buffer.alloc(END.length), position: size - END.length });
  return buffer.toString('latin1');
}

/** @param text a snapshot as Node writes it */
export function heapIn(text: string): Heap {
  const { snapshot, nodes } = snapshotSchema.parse(JSON.parse(text));
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [typeAt, sizeAt] = [fields.indexOf('type'), fields.indexOf('self_size')];
  const words = types[typeAt];
  if (!Array.isArray(words) || sizeAt < 0) throw new Error('Node writes another kind of heap snapshot now');
  const heap = { strings: 0, objects: 0, 'arrays and tables': 0, 'code and the rest': 0 };
  for (let at = 0; at < nodes.length; at += fields.length) {
    const kind = KINDS[words[nodes[at + typeAt] ?? -1] ?? ''] ?? 'code and the rest';
    heap[kind] += nodes[at + sizeAt] ?? 0;
  }
  return heap;
}
