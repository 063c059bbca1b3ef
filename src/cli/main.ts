#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

const { BULKHEAD_CACHE, XDG_CACHE_HOME, HOME } = process.env;
const cacheHome = XDG_CACHE_HOME || (HOME && join(HOME, '.cache'));
const cache = BULKHEAD_CACHE || (cacheHome && join(cacheHome, 'bulkhead'));
// Halves the time until a command begins. A folder that cannot be written is no error: it goes without.
if (cache) enableCompileCache(join(cache, 'compiled'));

// Loaded only now, since the cache counts for what is loaded after it.
const { main } = await import('./program.ts');
await main();
