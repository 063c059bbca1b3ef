import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeHeapSnapshot } from 'node:v8';
import { type HEAP_KINDS, heapIn } from '../../../bench/memory/heap.ts';

test('what lives on a heap is told by what it is, from a snapshot as this Node writes it', async () => {
  const before = await ownHeap();
  const kept = Array.from({ length: 50_000 }, (_, i) => ({
    text: `number ${i} of fifty thousand`.split('').join(''),
  }));
  const after = await ownHeap();
  assert.equal(kept.length, 50_000);
  // 26 to 30 characters and their header; an object of one field, and where it stands in the list.
  const bytes = (kind: (typeof HEAP_KINDS)[number]) => (after[kind] - before[kind]) / kept.length;
  assert.ok(bytes('strings') > 40 && bytes('strings') < 70, `${bytes('strings')} bytes of text each`);
  assert.ok(bytes('objects') > 24 && bytes('objects') < 70, `${bytes('objects')} bytes each`);
  assert.ok(bytes('arrays and tables') > 6, `${bytes('arrays and tables')} bytes in the list`);
});

async function ownHeap() {
  const path = writeHeapSnapshot(join(tmpdir(), `bulkhead-heap-${process.pid}.heapsnapshot`));
  try {
    return heapIn(await readFile(path, 'utf8'));
  } finally {
    await rm(path);
  }
}
