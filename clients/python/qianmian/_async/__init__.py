"""The client of asyncio. The other one is generated from it, as the folder ``_sync``, when the
package is built: both have the same methods."""
