import { ask } from './table'
import { TABLES } from './tables'

for (const table of TABLES) ask(table)
