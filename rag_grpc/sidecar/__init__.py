"""HTTP beside gRPC, for those who speak no gRPC: probes, metrics, and a page for people.

`server` takes connections, `routes` finds who answers, `probes` answers Prometheus and
orchestrators. The rest is the page: `guard` says who may ask for it, `page` puts it
together, `page/` holds its files. The room knows the core and no gRPC.
"""
