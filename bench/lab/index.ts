/** What all benchmarks against an API server share. */
export * from './accounts.ts';
export * from './audit.ts';
export * from './bulkhead.ts';
export * from './cells.ts';
export * from './database.ts';
export * from './interleaved.ts';
export * from './interrupt.ts';
export * from './jobs.ts';
export * from './lab.ts';
export * from './processes.ts';
export * from './watcher.ts';
