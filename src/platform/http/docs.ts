import { Elysia } from 'elysia'

export const apiDocs = (_settings: { about: { title: string; description: string; version: string } }) => new Elysia()
